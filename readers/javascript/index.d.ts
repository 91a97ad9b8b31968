/** Reads .saver files: verified, lazily, and without running anything from them. */

/** A path (Node), a URL, a Blob or File, bytes, or anything else that has a size and gives ranges of its bytes. */
export type Source =
  | string
  | URL
  | Blob
  | ArrayBuffer
  | ArrayBufferView
  | { name?: string; size: number; read(begin: number, end: number): Promise<Uint8Array>; close(): Promise<void> };

export interface OpenOptions {
  /** The most bytes of one tensor, of the values of one part, and of the JSON of the header; 1 GiB if missing. */
  maxBytes?: number;
  /** The most bytes of a header; 100,000,000, the format's own limit, if missing. */
  maxHeader?: number;
  /** The most bytes that are downloaded whole from a server without ranges; 256 MiB if missing. */
  wholeLimit?: number;
  /** Ends requests that are under way. */
  signal?: AbortSignal;
  /** More of what `fetch` takes, such as credentials. */
  request?: RequestInit;
  /** Used in place of the global `fetch`. */
  fetch?: typeof fetch;
  /** A faster BLAKE3: bytes to the 32 bytes of their hash. */
  blake3?: (bytes: Uint8Array) => Uint8Array | Promise<Uint8Array>;
}

/** Opens a file. Checks its header and trees against the rules of the format; raises SaverError if it breaks one. */
export function open(source: Source, options?: OpenOptions): Promise<SaverFile>;

export type Dtype =
  | "BOOL" | "I8" | "U8" | "F8_E4M3" | "F8_E5M2" | "I16" | "U16" | "F16" | "BF16"
  | "I32" | "U32" | "F32" | "I64" | "U64" | "F64";

export type Numbers =
  | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array
  | BigInt64Array | BigUint64Array;

export interface TensorFacts {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: number[];
  readonly bytes: number;
  readonly shards: number;
}

/** [start, stop] for each axis; null, or a missing one at the end, is the whole axis. */
export type Box = readonly (readonly [number, number] | null)[];

export interface ValueOptions {
  /** "leave": the numbers of arrays stay in the file, and arrays have the name of their tensor. */
  arrays?: "load" | "leave";
  /** Floats become instances of Float, so that 1.0 and 1 differ. */
  exact?: boolean;
  maxBytes?: number;
}

export class SaverFile {
  private constructor();
  /** The random id of the file. */
  readonly id: string;
  /** The hash of the header, which covers the whole file. */
  readonly hash: string;
  /** The names of the parts, in their order. */
  readonly parts: readonly string[];
  /** Whether the file holds a mapping whose values are the parts. */
  readonly whole: boolean;
  /** When it was made, in seconds since 1970, UTC; 0 if it does not say. */
  readonly time: number;
  /** What made it, for people to read. */
  readonly environment: ReadonlyMap<string, unknown>;
  /** The manifest as it is: of a version of a store also `model`, `number`, `step`, `metrics`, `notes` … */
  readonly manifest: ReadonlyMap<string, unknown>;
  readonly tensors: TensorFacts[];
  /** Reads a tensor, or a box of it; of a large one only the blocks that the box needs. */
  tensor(name: string, options?: { box?: Box; maxBytes?: number }): Promise<Tensor>;
  value(part?: string, options?: ValueOptions): Promise<Value>;
  /** The tree of a part, as the file has it: Maps, Arrays, numbers, strings, booleans and null. */
  tree(part?: string): unknown;
  partHash(part?: string): string;
  /** Path → name → value, for estimators of scikit-learn and optimizers of PyTorch. */
  hyperparameters(part?: string): Promise<Map<string, Map<string, Value>>>;
  trainingLogs(): Promise<{ part: string; log: TrainingLog }[]>;
  /** Reads every byte and recomputes every hash, those of parts unless `parts` is false; raises SaverError if one differs. */
  verify(options?: { progress?: (done: number, total: number) => void; parts?: boolean }): Promise<void>;
  /** The node of a part's trees with an id, as the file has it. Raises SaverError if there is none. */
  node(part: string, id: number): ReadonlyMap<string, unknown>;
  close(): Promise<void>;
}

export class SaverError extends Error {
  /** What is wrong: "damaged" is for bytes that are not those that were written. */
  readonly code: "refused" | "damaged" | "unsupported" | "source" | "limit" | "argument";
  /** The rule of the format that the file breaks. */
  readonly rule: string | null;
}

export class Tensor {
  readonly dtype: Dtype;
  readonly shape: number[];
  /** The elements in C order; floats of 16 and 8 bits as their bits. */
  readonly data: Numbers;
  readonly name: string | null;
  floats(): Float32Array | Float64Array;
}

export type Value =
  | null | boolean | number | bigint | string | Uint8Array | Value[] | Map<Value, Value>
  | Tuple | PySet | ByteArray | Float | Complex | Range | PyObject | NDArray | Scalar | TorchTensor | Tensor
  | DecisionTree | TrainingLog;

/** A tuple; an Array without methods of its own. */
export class Tuple extends Array<Value> {}

/** A set, or a frozenset. */
export class PySet implements Iterable<Value> {
  readonly items: Value[];
  readonly frozen: boolean;
  [Symbol.iterator](): Iterator<Value>;
}

export class ByteArray extends Uint8Array {}

export class Float {
  readonly value: number;
}

export class Complex {
  readonly re: number;
  readonly im: number;
}

export class Range {
  readonly kind: "range" | "slice";
  readonly start: Value;
  readonly stop: Value;
  readonly step: Value;
}

/** An object of Python as data; nothing of its class is run. */
export class PyObject {
  readonly codec: string;
  readonly class: string | null;
  /** What it holds: a Map of attributes for instances of classes. */
  readonly content: any;
  /** Attributes beside the content, of classes that derive from a container. */
  readonly attributes?: Map<string, Value>;
  get(name: string): any;
}

export class NDArray {
  /** NumPy's string, or an object for structures. */
  readonly dtype: string | object;
  readonly shape: number[];
  /** The elements in C order; null if they stayed in the file. */
  readonly data: Numbers | Value[] | Map<string, NDArray> | null;
  readonly order: "C" | "F" | number[];
  readonly tensor: string | null;
  readonly size: number;
  floats(): Float32Array | Float64Array | undefined;
  toNested(): any;
}

export class Scalar {
  readonly dtype: string | object;
  readonly value: any;
  readonly isRecord: boolean;
}

export class TorchTensor {
  /** PyTorch's name, such as "bfloat16". */
  readonly dtype: string;
  readonly shape: number[];
  /** The elements in C order; null if they stayed in the file, or the tensor is sparse. */
  readonly data: Numbers | null;
  readonly tensor: string | null;
  readonly parameter: boolean;
  readonly requiresGrad: boolean;
  readonly device: string;
  readonly layout?: string;
  readonly pieces?: Map<string, TorchTensor>;
  readonly attributes?: Map<string, Value>;
  readonly size: number;
  floats(): Float32Array | Float64Array | undefined;
}

export class DecisionTree {
  readonly nodeCount: number;
  readonly maxDepth: number;
  readonly features: number;
  readonly outputs: number;
  /** The number of classes of each output; 1 for regressors. */
  readonly classes: number[];
  readonly leftChild: Int32Array | Float64Array;
  readonly rightChild: Int32Array | Float64Array;
  readonly feature: Int32Array | Float64Array;
  readonly threshold: Float64Array;
  readonly impurity: Float64Array;
  readonly nNodeSamples: Int32Array | Float64Array;
  readonly weightedNNodeSamples: Float64Array;
  readonly missingGoToLeft?: Uint8Array;
  readonly value: Float64Array;
  /** Nodes, outputs, classes. */
  readonly valueShape: [number, number, number];
}

export class TrainingLog {
  readonly steps: Float64Array;
  /** Seconds since 1970, UTC. */
  readonly times: Float64Array;
  /** For each metric its values, and the rows that they are in. */
  readonly columns: Map<string, { rows: Float64Array; values: Float64Array }>;
  readonly events: { kind: string; step: number; time: number; ref: string }[];
}

/** Whether `predict` knows how a model predicts: linear models, decision trees and forests of scikit-learn. */
export function canPredict(model: Value): boolean;
/** Labels or numbers, one for each row. */
export function predict(model: Value, rows: ArrayLike<number>[]): any[];
/** The probability of each class, for each row. */
export function predictProba(model: Value, rows: ArrayLike<number>[]): number[][];
