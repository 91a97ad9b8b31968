/** Which values are equal in Python, so that one of them alone can be a key of a dict or an element of a set. */
import { ByteArray, Complex, Float, NDArray, PyObject, PySet, Range, Scalar } from "./values.js";

const NUMBERS = /^[<>|](?:[iu][1248]|f[48]|b1)$/;
const DIGITS = 5000; // decimals of more are compared as they are written
const SHORT = 40; // and those of more than these only with floats

/** What two values have in common exactly if they are equal in Python. `joined` are texts that may stand for others. */
export class Identities {
  constructor(bad, joined = new Set()) {
    Object.assign(this, { bad, joined, isSure: true, ids: new Map(), known: new Map() });
  }

  of(value) {
    if (value instanceof Float) return this.of(value.value);
    if (typeof value === "boolean") return Number(value);
    if (typeof value === "bigint") return Number.isFinite(Number(value)) && BigInt(Number(value)) === value ? Number(value) : value;
    if (typeof value === "string") return this.string(value);
    if (typeof value !== "object" || value === null) return Number.isNaN(value) ? Symbol("nan") : value;
    if (!this.known.has(value)) this.known.set(value, this.compound(value));
    return this.known.get(value);
  }

  string(value) {
    if (this.joined.has(value)) this.isSure = false;
    return `'${value}`; // which no other identity begins with
  }

  compound(value) {
    if (Array.isArray(value) && value.constructor === Array) return this.bad("with a list as a key or element");
    if (value instanceof Map || value instanceof ByteArray || value instanceof NDArray) {
      return this.bad("with a key or element that has no hash in Python");
    }
    if (value instanceof PySet && !value.frozen) return this.bad("with a set as a key or element");
    if (value instanceof Complex) return this.complex(value);
    if (value instanceof Uint8Array) return this.text(["bytes", ...value]);
    if (Array.isArray(value)) return this.all("tuple", value);
    if (value instanceof PySet) return this.text(["set", ...value.items.map((each) => this.id(each)).sort((a, b) => a - b)]);
    if (value instanceof Range) return this.range(value);
    if (value instanceof Scalar) return this.scalar(value);
    if (value instanceof PyObject && hasNoHash(value)) return this.bad("with a key or element that has no hash in Python");
    if (value instanceof PyObject && OBJECTS.has(value.codec)) return OBJECTS.get(value.codec)(value, this) ?? value;
    return value;
  }

  complex({ re, im }) {
    if (Number.isNaN(re) || Number.isNaN(im)) return Symbol("nan");
    return im === 0 ? this.of(re) : this.text(["complex", re === 0 ? 0 : re, im]);
  }

  /** Ranges are equal if their elements are; slices, if their three values are. */
  range({ kind, start, stop, step }) {
    if (kind === "slice") return this.all(kind, [start, stop, step]);
    const [first, end, by] = [start, stop, step].map(BigInt);
    const span = by > 0n ? end - first + by - 1n : first - end - by - 1n;
    const length = span < 0n ? 0n : span / (by > 0n ? by : -by);
    return this.text(["range", length, length > 0n ? first : "", length > 1n ? by : ""]);
  }

  scalar(found) {
    const { dtype, value, isRecord } = found;
    if (isRecord) return found;
    if (dtype === "U" || dtype === "S") return this.of(value);
    return NUMBERS.test(dtype) && ["number", "bigint", "boolean"].includes(typeof value) ? this.of(value) : found;
  }

  /** A fraction in lowest terms, as the float or integer that is equal, if there is one. */
  ratio(top, bottom) {
    if (bottom === 1n) return this.of(top);
    const power = bottom.toString(2).length - 1;
    const isFloat = bottom === 1n << BigInt(power) && power <= 1074 && (top < 0n ? -top : top) < 2n ** 53n;
    if (!isFloat) return this.text(["ratio", top, bottom]);
    return (Number(top) / 2 ** Math.min(power, 1000)) / 2 ** Math.max(power - 1000, 0);
  }

  decimal(text) {
    if (text.includes("NaN")) return Symbol("nan");
    if (text.endsWith("Infinity")) return Number(text);
    const [, sign, before, after = "", power = "0"] = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:E(.+))?$/.exec(text);
    const digits = (before + after).replace(/^0+/, "");
    if (digits === "") return 0;
    const short = digits.replace(/0+$/, "");
    const exponent = Number(power) - after.length + digits.length - short.length;
    const top = BigInt(sign + short.slice(0, DIGITS));
    if (exponent >= 0 && exponent + short.length <= DIGITS) return this.of(top * 10n ** BigInt(exponent));
    if (exponent < 0 && -exponent <= SHORT && short.length <= SHORT) return this.ratio(...lowest(top, 10n ** BigInt(-exponent)));
    const near = Number(text);
    return isExactly(near, top, exponent) && short.length <= DIGITS ? near : this.text(["decimal", sign, short, exponent]);
  }

  /** Of several values, in order. */
  all(kind, values) {
    return this.text([kind, ...values.map((each) => this.id(each))]);
  }

  /** A number for each different value. */
  id(value) {
    const identity = this.of(value);
    if (!this.ids.has(identity)) this.ids.set(identity, this.ids.size);
    return this.ids.get(identity);
  }

  text(pieces) {
    return `\u0000${pieces.join("\u0000")}`;
  }
}

/** Whether a float is top · 10^exponent, where the exponent is negative. */
function isExactly(float, top, exponent) {
  if (float === 0 || !Number.isFinite(float) || exponent < -1074 || exponent >= 0) return false;
  let power = 0; // at most 1074 doublings make any float whole
  for (; !Number.isInteger(float); power += 1) float *= 2;
  return top << BigInt(power) === BigInt(float) * 10n ** BigInt(-exponent);
}

function lowest(top, bottom) {
  let [a, b] = [top < 0n ? -top : top, bottom];
  while (b) [a, b] = [b, a % b];
  return [top / a, bottom / a];
}

const microseconds = ({ days, seconds, microseconds: rest }) => (BigInt(days) * 86400n + BigInt(seconds)) * 1000000n + BigInt(rest);
const offset = (zone) => microseconds(zone.content.offset.content);

/** A moment in a zone of a fixed offset is one in UTC; in others, moments are equal that have one zone and one text. */
function moment({ codec, content: { text, zone } }, all) {
  if (zone === null || codec === "stdlib.time") return all.all(codec, [text, zone]);
  if (zone.codec !== "stdlib.timezone") return all.all(codec, [text, zone]);
  const [whole, rest = "0"] = text.split(".");
  return all.text(["moment", BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(rest) - offset(zone)]);
}

function path({ class: name, content }, all) {
  const isWindows = name.endsWith("WindowsPath");
  return all.all(isWindows ? "windows" : "posix", [isWindows ? content.toLowerCase() : content]);
}

const plain = ({ codec, class: name, content }, all) => (typeof content === "string" ? all.all(codec, [name, content]) : undefined);

const NO_HASH = new Set([
  "stdlib.OrderedDict", "stdlib.Counter", "stdlib.defaultdict", "stdlib.deque", "stdlib.SimpleNamespace", "stdlib.array",
  "numpy.masked", "numpy.masked_constant", "numpy.subclass", "numpy.series", "numpy.poly1d",
]); // prettier-ignore
const RECORDS = new Set(["ChainMap", "UserDict", "UserList", "Namespace", "Values"]);
const hasNoHash = ({ codec, class: name }) => NO_HASH.has(codec) || (codec === "stdlib.record" && RECORDS.has(name));

/** Objects that are equal by what they hold. All others are equal to themselves alone, as far as this reader knows. */
const OBJECTS = new Map([
  ["stdlib.Decimal", ({ content }, all) => all.decimal(content)],
  ["stdlib.Fraction", ({ content }, all) => all.ratio(BigInt(content.numerator), BigInt(content.denominator))],
  ["stdlib.timedelta", ({ content }, all) => all.text(["timedelta", microseconds(content)])],
  ["stdlib.timezone", (zone, all) => all.text(["timezone", offset(zone)])],
  ["stdlib.datetime", moment],
  ["stdlib.time", moment],
  ["stdlib.path", path],
  ["stdlib.date", plain],
  ["stdlib.UUID", plain],
  ["stdlib.ZoneInfo", plain],
  ["stdlib.address", plain],
  ["singleton", plain],
  ["enum", plain],
  ["function", (value, all) => all.all("function", [value.class])],
  ["class", (value, all) => all.all("class", [value.class])],
]);
