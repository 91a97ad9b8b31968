/** Reads .saver files: verified, lazily, and without running anything from them. docs/javascript.md says how. */
export { open, SaverFile } from "./src/file.js";
export { SaverError } from "./src/errors.js";
export { Tensor } from "./src/tensors.js";
export { canPredict, predict, predictProba } from "./src/predict.js";
export {
  ByteArray, Complex, DecisionTree, Float, NDArray, PyObject, PySet, Range, Scalar, TorchTensor, TrainingLog, Tuple,
} from "./src/values.js"; // prettier-ignore
