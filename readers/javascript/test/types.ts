// Checked by `tsc --noEmit`: what a user writes has the types that it should have.
import { open, predict, SaverError, NDArray, type Tensor, type SaverFile } from "../index.js";

export async function use(file: File): Promise<number> {
  const opened: SaverFile = await open(file, { maxBytes: 2 ** 20 });
  const tensor: Tensor = await opened.tensor("model", { box: [[0, 1], null] });
  const value = await opened.value("model", { arrays: "leave" });
  if (value instanceof NDArray) return value.shape[0];
  try {
    await opened.verify({ progress: (done, total) => done / total });
  } catch (error) {
    if (error instanceof SaverError && error.code === "damaged") return Number(error.rule);
  }
  // @ts-expect-error a box is no number
  await opened.tensor("model", { box: 5 });
  return tensor.floats()[0] + predict(value, [[1, 2]]).length;
}
