"""What to save instead of objects of Python that have no data form, by the names of their classes."""

from __future__ import annotations

INSTEAD = {
    "builtins.method": "hold the object, and the name of the method as a string; or write a function "
    "at the top level of a module",
    "builtins.builtin_function_or_method": "it is bound to an object; hold that, and write a function "
    "at the top level of a module",
    "builtins.generator": "save what it is made from, or a list of its items",
    "builtins.module": "hold its name as a string, and import it where it is used",
    "operator.itemgetter": "write a function at the top level of a module",
    "operator.attrgetter": "write a function at the top level of a module",
    "operator.methodcaller": "write a function at the top level of a module",
    "re.Pattern": "hold its `pattern` and `flags`, and compile them where they are used",
    "logging.Logger": "hold its name, and call logging.getLogger(name) where it is used",
    "logging.RootLogger": "call logging.getLogger() where it is used",
    "logging.LoggerAdapter": "hold the name of its logger and its `extra`",
    "_thread.lock": "leave it out, and make it again after loading",
    "_thread.RLock": "leave it out, and make it again after loading",
    "threading.Thread": "leave it out, and make it again after loading",
    "threading.Condition": "leave it out, and make it again after loading",
    "threading.Event": "leave it out, and make it again after loading",
    "threading.Semaphore": "leave it out, and make it again after loading",
    "_thread._local": "leave it out, and make it again after loading",
    "argparse.Namespace": "save vars(args), a dict; argparse.Namespace(**found) makes it again",
    "collections.OrderedDict": "save OrderedDict(it), or hold one in an attribute",
    "builtins.dict": "save dict(it), or hold a dict in an attribute",
    "builtins.list": "save list(it), or hold a list in an attribute",
    "builtins.tuple": "save tuple(it), or hold a tuple in an attribute",
    "builtins.set": "save set(it), or hold a set in an attribute",
    "builtins.frozenset": "save frozenset(it), or hold one in an attribute",
    "builtins.str": "save str(it), or hold a string in an attribute",
    "builtins.bytes": "save bytes(it), or hold bytes in an attribute",
    "builtins.int": "save int(it), or hold a number in an attribute",
    "builtins.float": "save float(it), or hold a number in an attribute",
}
