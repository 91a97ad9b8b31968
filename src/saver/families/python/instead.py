"""What to save instead of objects of Python that have no data form, by the names of their classes."""

from __future__ import annotations

_AGAIN = "leave it out, and make it again after loading"
_LOCK = "leave it out, and make it again after loading; or `saver.register({})` saves it as a new one"
_TARGET = "hold what it leads to, or leave it out"
_FUNCTION = "write a function at the top level of a module"
_HINT = "hold its text, str(it), or leave it out"
_PLAIN = "save {0}(it), or hold {1} in an attribute"


def _plain(module: str, kinds: str) -> dict[str, str]:
    """For classes that derive from one of these in a way that has no data form."""
    return {
        f"{module}.{kind}": _PLAIN.format(f"{module}.{kind}".removeprefix("builtins."), f"a {kind}")
        for kind in kinds.split()
    }


INSTEAD = {
    "builtins.method": f"hold the object, and the name of the method as a string; or {_FUNCTION}",
    "builtins.builtin_function_or_method": f"it is bound to an object; hold that, and {_FUNCTION}",
    **dict.fromkeys(
        ("builtins.method-wrapper", "builtins.wrapper_descriptor", "builtins.classmethod_descriptor",
         "operator.methodcaller", "functools.partialmethod", "functools.singledispatchmethod",
         "builtins.property", "builtins.classmethod", "builtins.staticmethod", "builtins.code"),
        _FUNCTION,
    ),
    **dict.fromkeys(
        ("builtins.generator", "builtins.coroutine", "builtins.async_generator"),
        "save what it is made from, or a list of its items",
    ),
    "builtins.module": "hold its name as a string, and import it where it is used",
    **dict.fromkeys(("builtins.dict_keys", "builtins.dict_values", "builtins.dict_items"), "save list(it)"),
    "builtins.mappingproxy": "save dict(it)",
    "builtins.memoryview": "save bytes(it), or numpy.asarray(it)",
    "builtins.BaseException": "save its text, str(it), or leave it out",
    **dict.fromkeys(
        ("builtins.frame", "builtins.traceback"), "save its text, of the module traceback, or leave it out"
    ),
    "builtins.cell": "hold its cell_contents",
    **dict.fromkeys(
        ("types.GenericAlias", "types.UnionType", "typing._BaseGenericAlias", "typing._SpecialForm",
         "typing.TypeVar", "inspect.Signature", "inspect.Parameter"),
        _HINT,
    ),
    "_io.BytesIO": "save its getvalue(); io.BytesIO(found) makes it again",
    "_io.StringIO": "save its getvalue(); io.StringIO(found) makes it again",
    **dict.fromkeys(
        ("_io._IOBase", "tempfile._TemporaryFileWrapper", "zipfile.ZipFile", "tarfile.TarFile", "mmap.mmap"),
        "hold its path, and open it where it is used; or save what it contains",
    ),
    **dict.fromkeys(
        ("_socket.socket", "sqlite3.Connection", "sqlite3.Cursor", "_ssl._SSLContext"),
        "hold the address, and connect where it is used",
    ),
    "_thread.lock": _LOCK.format("threading.Lock"),
    "_thread.RLock": _LOCK.format("threading.RLock"),
    **{
        f"threading.{kind}": _LOCK.format(f"threading.{kind}")
        for kind in ("Condition", "Event", "Semaphore", "BoundedSemaphore", "Barrier")
    },
    **dict.fromkeys(
        ("threading.Thread", "_thread._local", "queue.Queue", "_queue.SimpleQueue", "subprocess.Popen",
         "multiprocessing.process.BaseProcess", "multiprocessing.pool.Pool",
         "multiprocessing.synchronize.SemLock", "multiprocessing.queues.Queue",
         "multiprocessing.context.BaseContext", "multiprocessing.managers.BaseManager",
         "concurrent.futures._base.Executor", "concurrent.futures._base.Future", "_asyncio.Future",
         "asyncio.events.AbstractEventLoop", "_contextvars.ContextVar", "_contextvars.Context",
         "_contextvars.Token", "logging.Handler", "_hashlib.HASH"),
        _AGAIN,
    ),
    **dict.fromkeys(("weakref.ReferenceType", "weakref.ProxyType", "weakref.CallableProxyType"), _TARGET),
    **dict.fromkeys(("weakref.WeakValueDictionary", "weakref.WeakKeyDictionary"), "save dict(it)"),
    "_weakrefset.WeakSet": "save set(it)",
    "_struct.Struct": "hold its `format`; struct.Struct(found) makes it again",
    "decimal.Context": "hold its `prec` and its other settings; decimal.Context(prec=found) makes it again",
    "random.SystemRandom": f"it has no state: {_AGAIN}",
    "datetime.tzinfo": "use zoneinfo.ZoneInfo or datetime.timezone",
    "xml.etree.ElementTree.Element": "save its text, xml.etree.ElementTree.tostring(it)",
    "configparser.RawConfigParser": "save {name: dict(it[name]) for name in it}; read_dict(found) "
    "fills it again",
    "collections.defaultdict": "save dict(it), or hold a defaultdict in an attribute",
    "random.Random": "save its getstate(); setstate(found) puts it back",
    "datetime.datetime": "save it in ISO 8601, it.isoformat(), or hold a datetime in an attribute",
    "datetime.date": "save it in ISO 8601, it.isoformat(), or hold a date in an attribute",
    "datetime.time": "save it in ISO 8601, it.isoformat(), or hold a time in an attribute",
    "datetime.timedelta": "save its total_seconds(), or hold a timedelta in an attribute",
    "uuid.UUID": "save its `hex`, or hold a UUID in an attribute",
    "pathlib.PurePath": "save str(it), or hold a Path in an attribute",
    "pathlib._local.PurePath": "save str(it), or hold a Path in an attribute",  # of Python 3.13
    "zoneinfo.ZoneInfo": "save its `key`; zoneinfo.ZoneInfo(found) makes it again",
    "array.array": "save it.tolist(), or hold an array in an attribute",
    **_plain("collections", "OrderedDict deque"),
    **_plain("decimal", "Decimal"),
    **_plain("fractions", "Fraction"),
    **_plain("builtins", "dict list tuple set frozenset str bytes bytearray int float complex"),
}  # fmt: skip
