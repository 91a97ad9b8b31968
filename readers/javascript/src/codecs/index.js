/** The codecs that this reader knows, by name: `{ read(state, context), class, mutable, rule }`. */
import { PYTHON } from "./python.js";
import { STDLIB } from "./stdlib.js";
import { NUMPY } from "./numpy.js";
import { SAVER } from "./saver.js";
import { TORCH } from "./torch.js";
import { SKLEARN } from "./sklearn.js";

export const CODECS = new Map([PYTHON, STDLIB, NUMPY, SAVER, TORCH, SKLEARN].flatMap((each) => Object.entries(each)));
