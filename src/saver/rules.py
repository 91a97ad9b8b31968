"""The rules of the format that a reader checks: each has a number, which never changes, and a text.

The page `docs/format/rules.md` lists them, refusals name them (`rule` of an error), and the files of
`tests/conformance/` break them one by one. The digit before the point is the layer of the page.
"""

from __future__ import annotations


class Broken(ValueError):
    """A rule of the format is broken. The caller that knows the place makes an error of Saver of it."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule = rule


def rule_of(error: BaseException, otherwise: str) -> str:
    """The number of the rule that an error names, or else another one."""
    return getattr(error, "rule", None) or otherwise


RULES: dict[str, str] = {
    # 1: packs, and JSON anywhere
    "1.01": "A file has at least 8 + N bytes, where its first 8 are N.",
    "1.02": "N is at most 100,000,000.",
    "1.03": "8 + N is a multiple of 4096.",
    "1.04": 'The header begins with {"__metadata__":{"saver.header":" and no space precedes it.',
    "1.05": "`saver.header` is the hash of the header.",
    "1.06": "JSON is one value by RFC 8259, in UTF-8: no NaN, no Infinity, no lone surrogate.",
    "1.07": "No object has a key twice.",
    "1.08": "A number that is a whole one below 10^21 has no fraction and no exponent, is not -0, and in a "
    "tree is at most 2^53; no number is beyond binary64.",
    "1.09": "Behind the header's JSON there are only spaces.",
    "1.10": "All values of `__metadata__` are strings.",
    "1.11": "`saver` has `format`, `id`, `hashes` and `blocks`, all of the right kind; `cuts`, too, "
    "if it is there.",
    "1.12": "`format` is 1.",
    "1.13": "`id` is 32 lower-case hexadecimal digits.",
    "1.14": "There is one hash for each tensor of the header.",
    "1.15": "Each hash is 64 lower-case hexadecimal digits.",
    "1.16": "A tensor has `dtype`, `shape` and `data_offsets`, of the right kind, and nothing else.",
    "1.17": "A dtype is one of the table.",
    "1.18": "A shape has at most 64 axes, which are not negative.",
    "1.19": "The tensors follow each other without gap, each as long as its shape and dtype say.",
    "1.20": "The last tensor ends where the file ends.",
    "1.21": "`blocks` has exactly the tensors of 8 MiB or more, with a hash for each block.",
    "1.22": "The bytes of a shard have the hash that the header says.",
    "1.23": "Each byte of a tensor of dtype BOOL is 0 or 1.",
    "1.24": "The shards in `cuts` are tensors of the header, each of one cut alone; no cut has the "
    "name of a tensor, or no shard.",
    "1.25": "The shards of a tensor have one dtype.",
    "1.26": "The boxes of a tensor tile it, in the order of their offsets; each of several holds an "
    "element; it is cut along at most 5 axes.",
    # 2: the manifest and trees
    "2.01": "A file has a manifest: a JSON object.",
    "2.02": "The manifest's `format` is 1.",
    "2.03": "The fields of the manifest and of its parts are of the right kind, and the required ones "
    "are there; none of them is null.",
    "2.04": "`requires` names features that the reader knows.",
    "2.05": "A manifest that is not `whole` has the single part `model`.",
    "2.06": "`order` lists each part once.",
    "2.07": "In a file each part has its `tree`, no `document`, and there is no `grid`.",
    "2.08": "A node has a codec, and `class`, `v`, `id` and `state` of the right kind, if they are "
    "there; nothing else.",
    "2.09": "No two nodes of a part have the same id.",
    "2.10": "An object with `$tensor` or `$ref` has the form of the page.",
    "2.11": "Each `$tensor` is in the pack.",
    "2.12": "Each `$ref` leads to a node.",
    "2.13": "A `$float` has the form of the page.",
    "2.14": "`$order` lists each key of its object once.",
    "2.15": "Other keys do not begin with `$`, `__array_` or `__cuda_array_`.",
    "2.16": "A tree has at most 600 levels of JSON.",
    "2.17": "The reader knows the codec.",
    "2.18": "The reader knows the version of the state's form.",
    "2.19": "A class is `module:qualname`, dotted identifiers of at most 500 characters.",
    "2.20": "A node has a class if its codec wants one, and otherwise none.",
    "2.21": "Where a value belongs, there is no bare array and no object without `$`.",
    "2.22": "An object that must be complete before others refer to it does not contain itself.",
    # 3: values of Python and NumPy
    "3.01": "The state of a node has the form that the table gives for its codec.",
    "3.02": "The text of an `int` is lower-case hexadecimal digits without leading zeros, perhaps "
    "after `-`, of a number beyond 2^53.",
    "3.03": "A `float` is 16 lower-case hexadecimal digits: those of nan or an infinity.",
    "3.04": "Base64 is that of RFC 4648, with padding, and unused bits of zero; a tensor in its place "
    "is U8 with one axis.",
    "3.05": "The bytes of a `str` are UTF-8, but for surrogates, which are encoded as other code "
    "points are.",
    "3.06": "A column has the keys, and its tensors the dtypes and the one axis, of the page.",
    "3.07": "The `ends` of a column never decrease, and the last is the length of the bytes.",
    "3.08": "A mapping has as many keys as values.",
    "3.09": "No key and no element of a set occurs twice.",
    "3.10": "A dtype has one of the forms of the page.",
    "3.11": "Every field of a structure lies within the item.",
    "3.12": "There are as many bytes, or items, as shape and dtype say.",
    "3.13": "The `order` of an array is `F` or lists each axis once.",
    "3.14": "The code points of U are at most 0x10FFFF.",
    "3.15": "The tensor of an array's `data` has the dtype and the shape of the page.",
    "3.16": "Each byte of a boolean is 0 or 1.",
    "3.17": "An array has a `dtype`, a `shape` and one of `data`, `items` and `fields`, of the right "
    "kind, and nothing else but an `order`.",
    # 4: profiles
    "4.01": "The state of a node has the form that its profile gives.",
    "4.02": "A PyTorch tensor has the bytes of its shape and dtype, in a tensor of the pack that can hold "
    "them, and dense strides; sizes are not negative.",
    "4.03": "A view of PyTorch lies within the memory of its base, which is a dense tensor.",
    "4.04": "A sparse tensor of PyTorch consists of tensors, and its indices are those of its layout, "
    "within its shape.",
    "4.05": "A PyTorch module holds tensors and modules, each where it belongs, by names that are not "
    "PyTorch's own.",
    "4.06": "The groups of a PyTorch optimizer are dicts with lists of tensors, and its state is a dict for "
    "each tensor; the names of its attributes are not PyTorch's own.",
    "4.07": "The nodes of a tree of scikit-learn form a tree, of the depth and the features that it "
    "declares.",
    "4.08": "The tensors of a batch of trees have the fields and dtypes of the page, and the lengths that "
    "its table says.",
    "4.09": "The values of a series, an index or a block are columns, and as many and as long as index "
    "and columns say.",
    "4.10": "No label of a row or column of a frame is a name that Python or NumPy look up by themselves.",
    "4.11": "A code of a category or level is -1 or counts one of its values.",
    # 5: stores
    "5.01": "A document begins with its hash.",
    "5.02": "The fields of a document are of the right kind, and the required ones are there; none is "
    "null but where the table says so.",
    "5.03": "`store.json` has the format 1.",
    "5.04": "The reader knows the features in `read`.",
    "5.05": "The records are numbered from 1 without gaps, each as its key.",
    "5.06": "A record has the hash of the one before.",
    "5.07": "A record has the format 1 and a kind of the page.",
    "5.08": "What a record names exists then.",
    "5.09": "A commit has a higher number than all before it of its model.",
    "5.10": "A record keeps to the limits of the page.",
    "5.11": "A manifest, a part's document and a page have the name of their hash.",
    "5.12": "A manifest says what the record of its commit says.",
    "5.13": "A shard's extents are within its packs, and as long as its box and dtype say.",
    "5.14": "A part's document is its salt, tree and batches, with the `content` that the manifest "
    "says.",
    "5.15": "A pack that is a version has the header that the record says.",
    "5.16": "The objects that a version needs are there.",
    # 6: seals and signatures
    "6.01": "The header of a container has the only form of the page.",
    "6.02": "The reader knows the seal.",
    "6.03": "The commitment is that of the header and the key.",
    "6.04": "Every segment has its tag.",
    "6.05": "The entries of a compressed file, its frames and their padding are as the page says.",
    "6.06": "A file's signatures are a list within the limits.",
}  # fmt: skip
"""The rules by number."""
