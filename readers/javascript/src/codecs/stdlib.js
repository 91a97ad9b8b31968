/** Values of Python's standard library: each as its content, after a check that Python could have it. */
import { shown } from "../errors.js";
import { entriesOf, kindOf } from "../tree.js";
import { Float, PyObject, Tuple } from "../values.js";

const isObject = (state) => state instanceof Map && kindOf(state) === "object";
const list = (state, lengths, bad) => {
  if (!Array.isArray(state) || !lengths.includes(state.length)) bad("with another number of items");
  return state;
};
const string = (value, bad) => (typeof value === "string" ? value : bad("with something else than a text"));
const whole = (value, low, high, bad) => {
  if (!Number.isInteger(value) || value < low || value > high) bad(`with ${shown(String(value))}, not ${low} to ${high}`);
  return value;
};
const oneOf = (value, known, bad) => (known.includes(value) ? value : bad("of an unknown class"));

/** A codec whose state says all: `read` gives the content. */
const simple = (content, more = {}) => ({
  class: false,
  read: (state, context) => new PyObject(context.name, null, content(state, context)),
  ...more,
});

const mapping = {
  class: false,
  mutable: true,
  read(state, { d, keep, bad, name }) {
    const object = keep(new PyObject(name, null, new Map()));
    d.items(state, bad, object.content);
    return object;
  },
};

const ordered = {
  ...mapping,
  read(state, { d, keep, bad, name }) {
    const object = keep(new PyObject(name, null, new Map()));
    const hasMore = Array.isArray(state) && state.length === 3 && state[2] === "attributes";
    d.items(hasMore ? state[0] : state, bad, object.content);
    if (hasMore) object.attributes = d.attributes(state[1], bad);
    return object;
  },
};

const defaultdict = {
  ...mapping,
  read(state, { d, keep, bad, name }) {
    const [factory, items] = list(state, [2], bad);
    if (factory !== null && !d.leadsTo(factory, "function", "class")) bad("whose factory is neither a function nor a class");
    const object = keep(new PyObject(name, null, new Map()));
    object.factory = d.value(factory);
    d.items(items, bad, object.content);
    return object;
  },
};

const deque = {
  class: false,
  mutable: true,
  read(state, { d, keep, bad, name }) {
    const [most, run] = list(state, [2], bad);
    if (most !== null) whole(most, 0, 2 ** 53, bad);
    const object = keep(new PyObject(name, null, []));
    d.run(run, bad, object.content);
    if (most !== null && object.content.length > most) bad("that is longer than it may be");
    object.longest = most;
    return object;
  },
};

const attributes = {
  class: false,
  mutable: true,
  read(state, { d, keep, bad, name }) {
    const object = keep(new PyObject(name, null, new Map()));
    if (!isObject(state)) bad("whose attributes are not an object");
    for (const [key, each] of entriesOf(state)) object.content.set(key, d.value(each));
    return object;
  },
};

const RECORDS = [
  "ChainMap", "Namespace", "NormalDist", "Template", "TextWrapper", "UserDict", "UserList", "UserString", "Values",
]; // prettier-ignore

const record = {
  class: false,
  mutable: true,
  read(state, { d, keep, bad, name }) {
    const [cls, content] = list(state, [2], bad);
    const object = keep(new PyObject(name, oneOf(cls, RECORDS, bad), new Map()));
    if (!isObject(content)) bad("whose attributes are not an object");
    for (const [key, each] of entriesOf(content)) object.content.set(key, d.value(each));
    HOLDS[cls]?.(content, d, bad);
    return object;
  },
};

const holds = (name, ...codecs) => (content, d, bad) => {
  if (!d.leadsTo(content.get(name) ?? null, ...codecs)) bad(`without a ${codecs[0]} in \`${name}\``);
};

/** Whether a value is a mapping. Those of named classes may be one, as far as this reader knows. */
const isMapping = (value) =>
  value instanceof Map ||
  (value instanceof PyObject && (value.content instanceof Map || value.class !== null) && !NO_MAPPINGS.has(value.codec) &&
    (value.codec !== "stdlib.record" || ["ChainMap", "UserDict"].includes(value.class)));
const NO_MAPPINGS = new Set([
  "stdlib.SimpleNamespace", "numpy.masked", "numpy.series", "numpy.SeedSequence", "numpy.BitGenerator", "function", "class", "enum",
  "namedtuple", "derived_value", "numpy.subclass", "stdlib.path", "stdlib.address",
]); // prettier-ignore

/** What the attributes of some classes must be. */
const HOLDS = {
  UserDict: holds("data", "dict"),
  UserList: holds("data", "list"),
  UserString(content, d, bad) {
    if (typeof content.get("data") !== "string") holds("data", "str")(content, d, bad);
  },
  ChainMap(content, d, bad) {
    holds("maps", "list")(content, d, bad);
    const maps = d.value(content.get("maps"));
    if (!maps.length || !maps.every(isMapping)) bad("without mappings");
  },
  NormalDist(content, d, bad) {
    if (content.size !== 2) bad("with more than two attributes");
    d.real(content.get("_mu") ?? null, bad);
    if (d.real(content.get("_sigma") ?? null, bad) < 0) bad("with a negative deviation");
  },
};

function partial(state, { d, bad }) {
  const [called, args, keywords] = list(state, [3], bad);
  const found = [d.value(called), d.value(args), d.value(keywords)];
  if (!d.leadsTo(called, "function", "class")) bad("of something else than a function");
  if (!(found[1] instanceof Tuple) || !(found[2] instanceof Map)) bad("without a tuple of arguments and a dict of keywords");
  return found;
}

const DECIMAL = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:E([+-][0-9]+))?$/;
const NOT_FINITE = /^-?(?:Infinity|s?NaN(?:[1-9][0-9]*)?)$/;

function decimal(state, { d, bad }) {
  const text = d.text(d.bytes(state, bad));
  const found = DECIMAL.exec(text);
  if (found ? isDecimal(text, found) : NOT_FINITE.test(text)) return text;
  return bad(`of the text ${shown(text)}`);
}

/** Whether Python's `str` writes the number so. */
function isDecimal(text, [, sign, before, after = "", power = "0"]) {
  const exponent = Number(power) - after.length;
  const digits = (before + after).replace(/^0+(?=[0-9])/, "");
  const left = exponent + digits.length; // digits before the point
  const isPlain = exponent <= 0 && left > -6;
  const point = isPlain ? left : 1;
  let written = digits;
  if (point <= 0) written = `0.${"0".repeat(-point)}${digits}`;
  else if (point < digits.length) written = `${digits.slice(0, point)}.${digits.slice(point)}`;
  if (!isPlain) written += `E${left > 1 || left === 1 ? "+" : ""}${left - 1}`;
  return text === sign + written;
}

function fraction(state, { d, bad }) {
  const [top, bottom] = list(state, [2], bad).map((each) => BigInt(d.integer(each, bad)));
  if (bottom < 1n) bad("whose denominator is not positive");
  let [a, b] = [top < 0n ? -top : top, bottom];
  if ((a < b ? a : b) >= 2n ** 65536n) bad("of too many digits");
  while (b) [a, b] = [b, a % b];
  return a === 1n ? { numerator: top, denominator: bottom } : bad("that is not in lowest terms");
}

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function isDate(text) {
  const found = /^([0-9]{4})-([0-9]{2})-([0-9]{2})$/.exec(text);
  if (!found) return false;
  const [year, month, day] = found.slice(1).map(Number);
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= DAYS[month - 1] + (leap ? 1 : 0);
}

const isTime = (text) => /^(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.(?!000000)[0-9]{6})?$/.test(text);

function isDatetime(text) {
  const [date, time, ...rest] = text.split("T");
  return !rest.length && isDate(date) && time !== undefined && isTime(time);
}

/** Whether it is a zone: of the standard library, or of a library or a class that this reader does not know. */
const isZone = (value) =>
  value instanceof PyObject &&
  (["stdlib.timezone", "stdlib.ZoneInfo", "object"].includes(value.codec) || /^(?:dateutil|pytz)\./.test(value.codec));

const moment = (fits) => (state, { d, bad }) => {
  const [text, zone, fold] = list(state, [3], bad);
  if (!fits(string(text, bad))) bad(`of the text ${shown(text)}`);
  if (zone !== null && !(zone instanceof Map)) bad("whose zone is of another kind");
  const found = d.value(zone);
  if (zone !== null && !isZone(found)) bad("whose zone is of another kind");
  return { text, zone: found, fold: whole(fold, 0, 1, bad) };
};

function timedelta(state, { bad }) {
  const [days, seconds, microseconds] = list(state, [3], bad);
  whole(days, -999999999, 999999999, bad);
  whole(seconds, 0, 86399, bad);
  whole(microseconds, 0, 999999, bad);
  return { days, seconds, microseconds };
}

function timezone(state, { d, bad }) {
  const [offset, label] = list(state, [1, 2], bad);
  if (!d.leadsTo(offset, "stdlib.timedelta")) bad("whose offset is no timedelta");
  const found = d.value(offset);
  const { days, seconds, microseconds } = found.content;
  const all = days * 86400 + seconds + microseconds / 1e6;
  if (!(all > -86400 && all < 86400)) bad("whose offset is a day or more");
  return { offset: found, name: label === undefined ? null : string(d.value(label), bad) };
}

function zone(state, { bad }) {
  const key = string(state, bad);
  try {
    new Intl.DateTimeFormat("en", { timeZone: key });
  } catch {
    bad(`of the unknown zone ${shown(key)}`);
  }
  return /^[A-Za-z]/.test(key) ? key : bad(`of the unknown zone ${shown(key)}`);
}

const ITEMS = new Map([
  ["b", [1]], ["B", [1]], ["h", [2]], ["H", [2]], ["i", [4]], ["I", [4]], ["l", [4, 8]], ["L", [4, 8]], ["q", [8]],
  ["Q", [8]], ["f", [4]], ["d", [8]],
]); // prettier-ignore

function array(state, { d, bad }) {
  if (!Array.isArray(state)) bad("of another form");
  const [code, size, data] = state;
  if (code === "u" || code === "w") return { code, text: string(list(state, [2], bad) && d.value(size), bad) };
  list(state, [3], bad);
  if (typeof code !== "string" || !ITEMS.get(code)?.includes(size)) bad("of an unknown type");
  const bytes = d.bytes(data, bad);
  if (bytes.length % size) bad("whose bytes are not whole items");
  return { code, size, bytes };
}

const [LOCALE, UNICODE] = [4, 32]; // flags of Python's `re`
const MATCHING = 2 + LOCALE + 8 + 16 + UNICODE + 64 + 256;

function pattern(state, { d, bad }) {
  const [text, flags] = list(state, [2], bad);
  const found = d.value(text);
  if (typeof found !== "string" && !(found instanceof Uint8Array)) bad("whose text is neither a string nor bytes");
  whole(flags, 0, MATCHING, bad);
  const isText = typeof found === "string";
  if (flags & ~MATCHING || flags & (isText ? LOCALE : UNICODE)) bad("with flags that are not for matching");
  const letters = isText ? found : String.fromCharCode(...found.subarray(0, 10000));
  return isBalanced(letters) ? { pattern: found, flags } : bad("whose groups are not closed");
}

/** Whether the groups and sets of a regular expression are closed; all that this reader knows of Python's. */
function isBalanced(text) {
  let open = 0;
  let set = -1;
  for (let i = 0; i < text.length; i += 1) {
    const mark = text[i];
    if (mark === "\\") i += 1;
    else if (set >= 0) {
      if (mark === "]" && i > set) set = -1;
    } else if (mark === "[") set = text[i + 1] === "^" ? i + 2 : i + 1;
    else if (mark === "(") open += 1;
    else if (mark === ")" && --open < 0) return false;
  }
  return open === 0 && set < 0;
}

const PATHS = ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"];
const ADDRESSES = ["IPv4Address", "IPv4Interface", "IPv4Network", "IPv6Address", "IPv6Interface", "IPv6Network"];

/** Whether a text is an address, interface or network of the Internet Protocol, as Python writes it. */
function isAddress(cls, text) {
  const [before, length, ...rest] = text.split("/");
  const isPlain = cls.endsWith("Address");
  const bits = cls.startsWith("IPv4") ? 32 : 128;
  if (rest.length || isPlain !== (length === undefined)) return false;
  if (!isPlain && !(/^(?:0|[1-9][0-9]{0,2})$/.test(length) && Number(length) <= bits)) return false;
  const number = bits === 32 ? ofFour(before) : ofSix(before);
  if (number === null) return false;
  return !cls.endsWith("Network") || number % (1n << BigInt(bits - Number(length))) === 0n;
}

function ofFour(text) {
  const parts = text.split(".");
  const fits = parts.length === 4 && parts.every((each) => /^(?:0|[1-9][0-9]{0,2})$/.test(each) && Number(each) < 256);
  return fits ? parts.reduce((all, each) => all * 256n + BigInt(each), 0n) : null;
}

/** The number of an IPv6 address; null unless its longest run of zeros, the first of those, is the one that `::` stands for. */
function ofSix(text) {
  const [address, zone, ...more] = text.split("%");
  if (more.length || zone === "") return null;
  const halves = address.split("::").map((half) => (half ? half.split(":") : []));
  const held = halves.flat();
  if (halves.length > 2 || !held.every((each) => /^(?:0|[1-9a-f][0-9a-f]{0,3})$/.test(each))) return null;
  if (halves.length === 2 ? held.length > 6 : held.length !== 8) return null;
  const groups = halves.length === 2 ? [...halves[0], ...Array(8 - held.length).fill("0"), ...halves[1]] : held;
  return compressed(groups) === address ? groups.reduce((all, each) => all * 65536n + BigInt(`0x${each}`), 0n) : null;
}

function compressed(groups) {
  const runs = [...groups.join(":").matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.reduce((most, each) => Math.max(most, each[0].length), 0);
  const found = runs.find((each) => each[0].length === longest);
  if (!found) return groups.join(":");
  const all = groups.join(":");
  return `${all.slice(0, found.index).replace(/:$/, "")}::${all.slice(found.index + longest).replace(/^:/, "")}`;
}

const classed = (known, fits = () => true) => ({
  class: false,
  read(state, { d, bad, name }) {
    const [cls, given] = list(state, [2], bad);
    const text = string(d.value(given), bad);
    if (!fits(oneOf(cls, known, bad), text)) bad(`of the text ${shown(text)}`);
    return new PyObject(name, cls, text);
  },
});

const isPublic = (name) => /^[\p{L}\p{Nl}][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u.test(name);

function getter(state, { d, bad }) {
  const [kind, items] = list(state, [2], bad);
  const found = d.value(items);
  if (!(found instanceof Tuple) || !found.length) bad("without a tuple of what it gets");
  if (kind === "attrgetter" && !found.every((each) => typeof each === "string" && each.split(".").every((name) => isPublic(name)))) {
    bad("of names that are not public");
  }
  return [oneOf(kind, ["itemgetter", "attrgetter"], bad), found];
}

function lock(state, { d, bad }) {
  if (!Array.isArray(state) || !state.length) bad("of another form");
  const [kind, ...rest] = state;
  const count = { Lock: 0, RLock: 0, Event: 0, Condition: 1, Semaphore: 1, BoundedSemaphore: 1, Barrier: 2 };
  if (typeof kind !== "string" || !Object.hasOwn(count, kind) || rest.length !== count[kind]) bad("of another form");
  if (count[kind] && kind !== "Condition") whole(rest[0], 1, 2 ** 31, bad);
  const found = rest.map((each) => d.value(each));
  const isLock = (value) => value instanceof PyObject && value.codec === "stdlib.lock" && ["Lock", "RLock"].includes(value.content[0]);
  if (kind === "Condition" && !isLock(found[0])) bad("whose lock is of another kind");
  if (kind === "Barrier" && found[1] !== null) {
    const seconds = found[1] instanceof Float ? found[1].value : found[1];
    if (typeof seconds !== "number" || !(seconds >= 0 && seconds <= 2 ** 33)) bad("whose timeout is no number of seconds");
  }
  return [kind, ...found];
}

function random(state, { d, bad }) {
  const [version, words, next] = list(state, [3], bad);
  whole(version, 3, 3, bad);
  const found = d.run(words, bad);
  const fits = (word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32;
  if (found.length !== 625 || !found.every(fits) || found[624] > 624) bad("without 624 words and a position");
  const normal = next === null ? null : d.real(next, bad);
  return { version, words: found, next: normal };
}

function logger(state, { bad }) {
  if (state === null) return null;
  return string(state, bad).length <= 200 ? state : bad("whose name is too long");
}

function adapter(state, { d, bad }) {
  const [inner, extra, merges] = list(state, [2, 3], bad);
  const found = [d.value(inner), d.value(extra)];
  if (!d.leadsTo(inner, "stdlib.Logger") || (found[1] !== null && !(found[1] instanceof Map))) {
    bad("without a logger and a dict");
  }
  if (merges !== undefined && merges !== true) bad("of another form");
  return [...found, merges === true];
}

export const STDLIB = {
  "stdlib.OrderedDict": ordered,
  "stdlib.Counter": mapping,
  "stdlib.defaultdict": defaultdict,
  "stdlib.deque": deque,
  "stdlib.SimpleNamespace": attributes,
  "stdlib.partial": simple(partial),
  "stdlib.Decimal": simple(decimal),
  "stdlib.Fraction": simple(fraction),
  "stdlib.UUID": simple((state, { bad }) =>
    typeof state === "string" && /^[0-9a-f]{32}$/.test(state) ? state : bad("that is not 32 hexadecimal digits"),
  ),
  "stdlib.path": classed(PATHS),
  "stdlib.date": simple((state, { bad }) => (typeof state === "string" && isDate(state) ? state : bad("that is no date"))),
  "stdlib.datetime": simple(moment(isDatetime)),
  "stdlib.time": simple(moment(isTime)),
  "stdlib.timedelta": simple(timedelta),
  "stdlib.timezone": simple(timezone),
  "stdlib.ZoneInfo": simple(zone),
  "stdlib.array": simple(array, { mutable: true }),
  "stdlib.Pattern": simple(pattern),
  "stdlib.Logger": simple(logger),
  "stdlib.LoggerAdapter": simple(adapter, { mutable: true }),
  "stdlib.address": classed(ADDRESSES, isAddress),
  "stdlib.getter": simple(getter),
  "stdlib.record": record,
  "stdlib.lock": simple(lock, { mutable: true }),
  "stdlib.Random": simple(random, { mutable: true }),
};
