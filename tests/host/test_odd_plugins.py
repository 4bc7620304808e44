"""Declarations that nobody asked for and that end, change or litter the process: one warning, and everything else works."""

from __future__ import annotations

import builtins
import gc
import json
import locale
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import genzoo.declare
from genzoo.errors import AbruptExit
from genzoo.host import guard
from genzoo.host.contain import Contained
from genzoo.host.plugin_host import GROUP, Host, Problem
from genzoo.options import Options
from genzoo.text import visible

ENDS = {
    "KeyboardInterrupt": "raise KeyboardInterrupt",
    "KeyboardInterrupt with text": "raise KeyboardInterrupt('\\x1b[2J')",
    "SystemExit": "raise SystemExit(3)",
    "sys.exit of text": "import sys; sys.exit('no licence')",
    "GeneratorExit": "raise GeneratorExit",
    "an exception of its own": "class E(BaseException): pass\nraise E('x')",
    "a cancellation": "import asyncio; raise asyncio.CancelledError",
    "a group": "raise BaseExceptionGroup('g', [KeyboardInterrupt(), ValueError()])",
    "str raises": "class E(Exception):\n    def __str__(self): raise RuntimeError('no')\nraise E()",
    "str ends the process": "class E(Exception):\n    def __str__(self): raise SystemExit\nraise E()",
    "str is no text": "class E(Exception):\n    def __str__(self): return 3\nraise E()",
    "repr raises": "class E(Exception):\n    def __repr__(self): raise RuntimeError('no')\nraise E(E())",
    "a name with codes": "raise type('E\\x1b[2J', (Exception,), {})('x')",
    "text with codes": "raise ValueError('\\x1b[2J\\x9b\\u202e\\nError: forged')",
    "very long text": "raise ValueError('x' * 10**6)",
    "endless recursion": "def f(): f()\nf()",
    "an attribute that is not there": "from genzoo.declare import Nothing",
    "a module that is not there": "import no_such_module_of_anybody",
    "a module error with codes": "raise ModuleNotFoundError('x', name='\\x1b[2J')",
    "a module error with no name": "raise ModuleNotFoundError('x', name=3)",
    "a syntax error": "def f(:",
    "a NUL in the source": "x = '\0'",
    "bytes that are no text": "x = '\udce9'",
    "an assertion": "assert False",
    "memory": "raise MemoryError",
    "a loader that raises": "class L:\n    def __getattr__(self, name): raise RuntimeError('no')\n__loader__ = L()\n1 / 0",
    "input": "input('name? ')",
    "a debugger that is left": "import bdb; raise bdb.BdbQuit",
    "a warning as an error": "import warnings; raise UserWarning('x')",
}
"""What the declaration module does when it is imported, and fails by."""

CHANGES = {
    "low recursion limit": ("import sys; sys.setrecursionlimit(120)", "the recursion limit"),
    "high recursion limit": ("import sys; sys.setrecursionlimit(10**6)", "the recursion limit"),
    "sys.path cleared": ("import sys; sys.path.clear()", "sys.path"),
    "sys.path rebound": ("import sys; sys.path = ['/']", "sys.path"),
    "sys.path longer": ("import sys; sys.path.insert(0, '/odd')", "sys.path"),
    "an importer": (
        "import sys\nclass F:\n    def find_spec(*a): raise ImportError('no')\nsys.meta_path.insert(0, F())",
        "sys.meta_path",
    ),
    "sys.argv": ("import sys; sys.argv[:] = ['x']", "sys.argv"),
    "a module blocked": ("import sys; sys.modules['tomli_w_odd'] = None", "sys.modules"),
    "a module replaced": ("import sys, types; sys.modules['json'] = types.ModuleType('json')", "sys.modules"),
    "a module removed": ("import sys; del sys.modules['json']", "sys.modules"),
    "an environment variable": ("import os; os.environ['ODD'] = '1'", "the environment"),
    "the environment cleared": ("import os; os.environ.clear()", "the environment"),
    "PATH": ("import os; os.environ['PATH'] = ''", "the environment"),
    "chdir": ("import os; os.chdir('/')", "the working directory"),
    "umask": ("import os; os.umask(0o777)", "the umask"),
    "SIGINT ignored": ("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)", "signal handlers"),
    "SIGTERM caught": ("import signal; signal.signal(signal.SIGTERM, print)", "signal handlers"),
    "an alarm": ("import signal; signal.alarm(1)", "the timer"),
    "warnings silenced": ("import warnings; warnings.simplefilter('ignore')", "the warning filters"),
    "warnings as errors": ("import warnings; warnings.simplefilter('error', BytesWarning)", "the warning filters"),
    "warnings replaced": ("import warnings; warnings.showwarning = None", "warnings.showwarning"),
    "logging disabled": ("import logging; logging.disable(logging.CRITICAL)", "logging"),
    "logging configured": ("import logging; logging.basicConfig(level=10, force=True)", "logging"),
    "genzoo's log silenced": ("import logging; logging.getLogger('genzoo').disabled = True", "logging"),
    "locale": ("import locale; locale.setlocale(locale.LC_ALL, 'C')", "the locale"),
    "random seed": ("import random; random.seed(0)", "the random state"),
    "random draws": ("import random; random.random()", "the random state"),
    "numpy's seed": ("import numpy; numpy.random.seed(0)", "numpy's random state"),
    "numpy's errors": ("import numpy; numpy.seterr(all='raise')", "numpy's error state"),
    "torch's seed": ("import torch; torch.manual_seed(0)", "torch's random state"),
    "torch's dtype": ("import torch; torch.set_default_dtype(torch.float64)", "torch's defaults"),
    "torch's gradients": ("import torch; torch.set_grad_enabled(False)", "torch's defaults"),
    "the collector": ("import gc; gc.disable()", "the garbage collector"),
    "a profiler": ("import sys; sys.setprofile(lambda *a: None)", "the profile function"),
    "stdout replaced": ("import sys, io; sys.stdout = io.StringIO()", "sys.stdout"),
    "stdout None": ("import sys; sys.stdout = None", "sys.stdout"),
    "stderr replaced": ("import sys, io; sys.stderr = io.StringIO()", "sys.stderr"),
    "excepthook": ("import sys; sys.excepthook = None", "sys.excepthook"),
    "descriptor 1 closed": ("import os; os.close(1)", "descriptor 1"),
    "descriptor 2 closed": ("import os; os.close(2)", "descriptor 2"),
    "all descriptors closed": ("import os; [os.close(n) for n in (0, 1, 2)]", "descriptor 0"),
    "descriptor 1 redirected": ("import os; os.dup2(os.open(os.devnull, os.O_RDWR), 1)", "descriptor 1"),
    "descriptor 2 redirected": ("import os; os.dup2(os.open(os.devnull, os.O_RDWR), 2)", "descriptor 2"),
    "a builtin removed": ("import builtins; del builtins.len", "builtins"),
    "a builtin broken": ("import builtins; builtins.isinstance = None", "builtins"),
    "exceptions broken": ("import builtins; builtins.Exception = builtins.BaseException = None", "builtins"),
    "open broken": ("import builtins; builtins.open = None", "builtins"),
    "a builtin added": ("import builtins; builtins._ = lambda text: text", "builtins"),
    "os patched": ("import os; os.getcwd = None", "os.getcwd"),
    "sys.exit patched": ("import sys; sys.exit = print", "sys.exit"),
    "json patched": ("import json\ndef dumps(*a, **k): return ''\njson.dumps = dumps", "json.dumps"),
    "genzoo patched": (
        "import genzoo.declare as d\nclass Other: pass\nd.Component = Other",
        "genzoo.declare.Component",
    ),
    "a class of genzoo patched": (
        "import genzoo.declare as d\nd.Component.__init__ = lambda *a: None",
        "genzoo.declare.Component.__init__",
    ),
    "a constant of genzoo": ("import genzoo.declare as d\nd.API_VERSION = '99.0'", "genzoo.declare.API_VERSION"),
    "a call at exit": ("import atexit, os; atexit.register(os._exit, 9)", "a call at exit"),
    "a decorated call at exit": ("import atexit\n@atexit.register\ndef f(): raise SystemExit(9)", "a call at exit"),
    "a thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(0.3,), daemon=True).start()",
        "the thread",
    ),
}
"""What the declaration module changes, and what the problem must name."""

DECLARES = {
    "raises": "raise ValueError('x')",
    "interrupts": "raise KeyboardInterrupt",
    "exits": "import sys; sys.exit(0)",
    "a number": "return 3",
    "text": "return 'Component'",
    "a table": "return {'kind': 'scheduler'}",
    "a class": "return Component",
    "a list of everything": "return [None, 3, 'x', [], Component, object()]",
    "items that cannot be shown": "return [type('E', (), {'__repr__': lambda s: 1 / 0})()]",
    "an iterator that raises": "yield 3\n    raise ValueError",
    "an iterator that interrupts": "yield 3\n    raise KeyboardInterrupt",
    "an iterator that never ends": "import itertools; return itertools.repeat(3)",
    "ten thousand that are none": "return list(range(10_000))",
    "the same twice": "c = Component('scheduler', 'same', 'a.b:C'); return [c, c]",
    "the same a thousand times": "return [Component('scheduler', 'same', 'a.b:C')] * 1000",
    "another kind": "return [Component('model', 'm', 'a.b:C')]",
    "a component of its own sort": (
        "class M(Component):\n        kind = property(lambda s: 1 / 0)\n    return [M('loss', 'm', 'a.b:C')]"
    ),
    "no name": "return [Component('scheduler', None, 'a.b:C')]",
    "a name with codes": "return [Component('scheduler', 'x\\x1b[2J', 'a.b:C')]",
    "a kind that is a list": "return [Component([], 'x', 'a.b:C')]",
    "a summary that is none": "return [Component('scheduler', 'x', 'a.b:C', summary=3)]",
    "options that are none": "return [Component('scheduler', 'x', 'a.b:C', options=3)]",
    "extras that are text": "return [Component('scheduler', 'x', 'a.b:C', requires_extra='umap')]",
    "defaults that are a list": "return [Component('scheduler', 'x', 'a.b:C', defaults=[1])]",
    "companions of a number": "return [Component('model', 'x', 'a.b:C', companions={'loss': 3})]",
    "a base that is itself": "return [Component('scheduler', 'x', base='x')]",
    "a base of bytes": "return [Component('scheduler', 'x', base=b'x')]",
    "an API of a number": "return [Component('scheduler', 'x', 'a.b:C', api=1.0)]",
    "an API of words": "return [Component('scheduler', 'x', 'a.b:C', api='newest')]",
    "chdir": "import os; os.chdir('/'); return []",
    "a low recursion limit": "import sys; sys.setrecursionlimit(150); return []",
}
"""What the hook does when it is called."""

HEAD = "from genzoo.declare import Component, Resource, hookimpl\n"
GOOD = (
    HEAD
    + "@hookimpl\ndef genzoo_schedulers():\n"
    + '    return [Component("scheduler", "fine", "a.b:C", summary="Fine", api="1.0")]\n'
)
HOOK = HEAD + "@hookimpl\ndef genzoo_schedulers():\n    {0}\n"


class Zoo:
    """Makes packages that are imported once each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = 0

    def point(self, source: str, prefix: str = "odd") -> EntryPoint:
        self.made += 1
        package = f"{prefix}_{self.made}_{self.folder.parent.name.replace('-', '_')}"
        (self.folder / package).mkdir()
        (self.folder / package / "__init__.py").touch()
        (self.folder / package / "plugin.py").write_bytes(source.encode("utf-8", "surrogateescape"))
        return EntryPoint(prefix, f"{package}.plugin", GROUP)

    def load(self, *sources: str) -> Host:
        """Odd declarations, and a fine one that is loaded after them."""
        points = [self.point(source, f"odd{number}") for number, source in enumerate(sources)]
        return Host([*points, self.point(GOOD, "zfine")], allow=[*(p.name for p in points), "zfine"])


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zoo]:
    folder = tmp_path_factory.mktemp("odd") / "site"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        yield Zoo(folder)


def state() -> dict[str, Any]:
    """The process, read otherwise than `genzoo.host.guard` reads it."""
    import numpy as np
    import torch

    mask = os.umask(0)
    os.umask(mask)
    return {
        "limit": sys.getrecursionlimit(),
        "lists": [list(one) for one in (sys.path, sys.meta_path, sys.path_hooks, sys.argv)],
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "umask": mask,
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "filters": list(warnings.filters),
        "functions": (warnings.showwarning, json.dumps, os.getcwd, sys.exit, sys.excepthook, genzoo.declare.Component),
        "init": genzoo.declare.Component.__init__,
        "api": genzoo.declare.API_VERSION,
        "json": sys.modules["json"],
        "logging": (
            logging.root.level,
            list(logging.root.handlers),
            logging.root.manager.disable,
            logging.getLogger("genzoo").disabled,
        ),
        "locale": locale.setlocale(locale.LC_ALL),
        "random": random.getstate(),
        "numpy": (np.random.get_state()[1].tobytes(), np.random.get_state()[2], np.geterr()),
        "torch": (torch.get_rng_state().tolist(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "collector": gc.isenabled(),
        "profile": sys.getprofile(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "descriptors": [(os.fstat(n).st_dev, os.fstat(n).st_ino) for n in (0, 1, 2)],
        "builtins": dict(vars(builtins)),
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
    }


def told(host: Host, caplog: pytest.LogCaptureFixture) -> Problem:
    """The one warning's problem; the fine plugin is there, and all is shown literally."""
    assert [item.name for item in host.components() if item.name == "fine"] == ["fine"]
    found = [item for item in host.problems if item.kind not in {"slow", "imports-torch"}]
    assert found
    assert len(caplog.records) == 1, caplog.text
    said = caplog.records[0].getMessage()
    assert str(found[0]) in said
    assert said == visible(said, keep="")
    assert len(said) < 800
    return found[0]


@pytest.mark.parametrize("source", ENDS.values(), ids=ENDS.keys())
def test_a_declaration_that_fails_in_any_way_is_one_warning(
    zoo: Zoo, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = state()
    host = zoo.load(source)
    assert state() == before
    assert told(host, caplog).kind == "broken"


@pytest.mark.parametrize(("source", "names"), CHANGES.values(), ids=CHANGES.keys())
def test_what_a_declaration_changes_is_put_back_and_told(
    zoo: Zoo, source: str, names: str, caplog: pytest.LogCaptureFixture
) -> None:
    import numpy as np
    import torch

    torch.set_default_dtype(torch.float32)  # which imports more of torch when it is called first
    np.random.seed(7)
    torch.manual_seed(7)
    random.seed(7)
    before = state()
    host = zoo.load(f"{GOOD.replace('fine', 'odd')}\n{source}")
    after = state()
    assert {key for key in before if before[key] != after[key]} == set()
    problem = told(host, caplog)
    assert problem.kind == "intrusive"
    assert names in problem.cause
    assert host.get("scheduler", "odd").name == "odd", "it is loaded all the same"
    guard.STRAY.clear()


@pytest.mark.parametrize("source", CHANGES.values(), ids=CHANGES.keys())
def test_what_a_declaration_changed_before_it_failed_is_put_back_too(
    zoo: Zoo, source: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    before = state()
    host = zoo.load(f"{source[0]}\nraise RuntimeError('and then')")
    after = state()
    assert {key for key in before if before[key] != after[key]} == set()
    assert {item.kind for item in host.problems} >= {"broken", "intrusive"}
    assert len(caplog.records) == 1
    guard.STRAY.clear()


@pytest.mark.parametrize("body", DECLARES.values(), ids=DECLARES.keys())
def test_a_hook_that_does_anything_is_one_warning(zoo: Zoo, body: str, caplog: pytest.LogCaptureFixture) -> None:
    before = state()
    host = zoo.load(
        HOOK.format(body).replace(
            "genzoo_schedulers", "genzoo_models" if "'model'" in body and "loss" in body else "genzoo_schedulers"
        )
    )
    assert state() == before
    told(host, caplog)
    assert len(host.problems) < 10_000
    for item in host.components():
        item.label, item.component.summary.upper(), list(item.component.requires_extra)


def test_thousands_of_declarations_are_taken_in_no_time(zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    many = "return [Component('scheduler', f's{i}', 'a.b:C', api='1.0') for i in range(5000)]"
    host = zoo.load(HOOK.format(many))
    assert len(host.components()) == 5001
    assert not caplog.records
    assert next(item for item in host.plugins if item.name == "odd0").seconds < 5


ENTRIES = {
    "an object that answers everything": "from unittest.mock import MagicMock\nthing = MagicMock()",
    "an object that refuses everything": "class T:\n    def __getattribute__(self, name): 1 / 0\nthing = T()",
    "None": "thing = None",
    "a number": "thing = 3",
    "a class": "class thing: pass",
}


@pytest.mark.parametrize("source", ENTRIES.values(), ids=ENTRIES.keys())
def test_an_entry_point_may_name_anything(zoo: Zoo, source: str, caplog: pytest.LogCaptureFixture) -> None:
    made = zoo.point(source)
    odd = EntryPoint("odd", f"{made.value}:thing", GROUP)
    host = Host([odd, zoo.point(GOOD, "zfine")], allow=["odd", "zfine"])
    assert [item.name for item in host.components()] == ["fine"]
    assert len(caplog.records) <= 1


def test_several_odd_ones_are_one_warning(zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    host = zoo.load("raise KeyboardInterrupt", "import sys; sys.setrecursionlimit(200)", "raise SystemExit", "1 / 0")
    assert [item.kind for item in host.problems] == ["broken", "intrusive", "broken", "broken"]
    assert len(caplog.records) == 1
    assert "And 3 more." in caplog.text


def test_an_import_that_is_broken_breaks_no_other(zoo: Zoo, caplog: pytest.LogCaptureFixture) -> None:
    broken = "import builtins\ndef no(*a): raise ImportError('no')\nbuiltins.__import__ = no\nimport nothing"
    before = builtins.__import__
    host = zoo.load(broken)
    assert builtins.__import__ is before
    assert told(host, caplog).kind == "broken"


def test_the_users_ctrl_c_still_interrupts(zoo: Zoo) -> None:
    with pytest.raises(KeyboardInterrupt):
        zoo.load("import os, signal; os.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(5)")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_handler_of_the_callers_still_raises() -> None:
    class Stop(BaseException):
        pass

    def handler(number: int, frame: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(Stop), Contained():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(AbruptExit), Contained():
            raise SystemExit
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_a_ctrl_c() -> None:
    caught: list[BaseException] = []

    def work() -> None:
        try:
            with Contained():
                raise KeyboardInterrupt
        except BaseException as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [type(error) for error in caught] == [AbruptExit]


def test_libraries_that_a_declaration_imports_may_set_their_warning_filters(
    zoo: Zoo, caplog: pytest.LogCaptureFixture
) -> None:
    library = zoo.point("import warnings; warnings.filterwarnings('ignore', message='of the library')", "library")
    before = list(warnings.filters)
    try:
        host = zoo.load(f"import {library.value}\n{GOOD.replace('fine', 'odd')}")
        assert not host.problems
        assert not caplog.records
    finally:
        warnings.filters[:] = before


def test_a_tracker_cannot_change_what_is_recorded(zoo: Zoo, tmp_path: Path) -> None:
    clear = HEAD + "@hookimpl\ndef genzoo_run_start(folder, record):\n    record['inner'].clear(); record.clear()\n"
    look = HEAD + (
        "@hookimpl\ndef genzoo_run_start(folder, record):\n    (folder / 'seen').write_text(record['inner'][0])\n"
    )
    host = zoo.load(clear, look)
    record = {"inner": ["as it was"]}
    assert host.call_lifecycle("genzoo_run_start", folder=tmp_path, record=record) == []
    assert record == {"inner": ["as it was"]}
    assert (tmp_path / "seen").read_text(encoding="utf-8") == "as it was"


COMMANDS = {
    "descriptors closed": "import os; os.close(1); os.close(2)",
    "recursion limit of 60": "import sys; sys.setrecursionlimit(60)",
    "stdout replaced": "import sys, io; sys.stdout = io.StringIO()",
    "prints codes": "import sys; print('\\x1b[2J'); sys.stderr.write('\\x1b[31m')",
    "prints past Python": "import os; os.system('echo noise'); os.write(1, b'noise')",
    "prints to the first stdout": "import sys; sys.__stdout__.write('noise')",
    "a thread that never ends": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()",
    "a call at exit that hangs": "import atexit, time; atexit.register(time.sleep, 1000)",
    "a call at exit that ends otherwise": "import atexit, os; atexit.register(os._exit, 9)",
    "an alarm": "import signal; signal.setitimer(signal.ITIMER_REAL, 0.5)\n",
    "input": "input(); input()",
    "a breakpoint": "breakpoint()",
    "logging disabled and failed": "import logging; logging.disable(50); raise KeyboardInterrupt",
}


@pytest.mark.parametrize("source", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_works_beside_it(faulty: Any, tmp_path: Path, source: str) -> None:
    site = type(faulty)(tmp_path)
    site.install("fine-zoo", GOOD.removeprefix(HEAD))
    site.install("odd-zoo", source + "\n")
    process = subprocess.run(
        [sys.executable, "-m", "genzoo", "list", "--json"],
        env=site.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        encoding="utf-8",
    )
    assert process.returncode == 0, process.stderr
    assert [item["name"] for item in json.loads(process.stdout)["components"]] == ["fine"]
    assert "\x1b" not in process.stderr
    silent = source.startswith(("import sys; print", "import os; os.system", "import sys; sys.__stdout__"))
    assert process.stderr.count("Warning: ") == (0 if silent else 1), process.stderr


FATAL = {
    "os._exit": ("import os; os._exit(7)", "ended the process with exit code 7"),
    "os._exit as if all were well": ("import os; os._exit(0)", "ended the process with exit code 0"),
    "a crash in C": ("import ctypes; ctypes.string_at(0)", "ended the process with the signal SIGSEGV"),
    "abort": ("import os; os.abort()", "ended the process with the signal SIGABRT"),
    "kills itself": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the signal SIGKILL"),
    "another program in its place": ("import os, sys; os.execv(sys.executable, ['python', '-c', ''])", "exit code 0"),
    "an import that never returns": ("import time; time.sleep(1000)", "did not return within 5 s"),
    "an endless loop that catches all": (
        "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: pass",
        "did not return",
    ),
    "a lock that is held": ("import threading\na = threading.Lock(); a.acquire(); a.acquire()", "did not return"),
    "a hook that never returns": ("", "did not return within 5 s"),
    "an object that ends the process when it is freed": (
        "import os\nclass T:\n    def __del__(self, end=os._exit): end(5)\nt = T()",
        "ended the process with exit code 5",
    ),
}
"""What no process can prevent from within, and what the doctor says of it."""

TOLD = {
    "a thread that never ends": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()",
        "left the thread",
    ),
    "a daemon thread": (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(999,), daemon=True).start()",
        "left the thread",
    ),
    "a class patched deep within": (
        "import json.encoder as e\ne.JSONEncoder = None",
        "replaced json.encoder.JSONEncoder",
    ),
    "the recursion limit": ("import sys; sys.setrecursionlimit(99)", "changed the recursion limit"),
}


@pytest.fixture(scope="module")
def doctor(faulty: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What ``genzoo doctor`` says of all of these at once: distribution → problems."""
    site = type(faulty)(tmp_path_factory.mktemp("fatal"))
    site.install("fine-zoo", GOOD.removeprefix(HEAD))
    for number, (name, (source, _)) in enumerate({**FATAL, **TOLD}.items()):
        hook = "@hookimpl\ndef genzoo_losses():\n    import time; time.sleep(1000)\n"
        site.install(f"odd{number}-zoo", (hook if name.startswith("a hook") else source) + "\n")
    done = site.genzoo("doctor", "--quick", "--json", "--timeout", "5")
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    assert [(one["status"], one["components"]) for one in found["plugins"] if one["distribution"] == "fine-zoo"] == [
        ("loaded", 1)
    ]
    told: dict[str, list[dict[str, Any]]] = {}
    for item in found["problems"]:
        told.setdefault(item["distribution"], []).append(item)
    return told


@pytest.mark.parametrize("name", [*FATAL, *TOLD])
def test_the_doctor_names_what_no_process_survives(doctor: dict[str, list[dict[str, Any]]], name: str) -> None:
    _, cause = {**FATAL, **TOLD}[name]
    (problem,) = doctor[f"odd{[*FATAL, *TOLD].index(name)}-zoo"]
    assert problem["kind"] == ("fatal" if name in FATAL else "intrusive")
    assert cause in problem["cause"]
    assert f"pip uninstall odd{[*FATAL, *TOLD].index(name)}-zoo" in problem["fix"]
    assert "fine-zoo" not in doctor


def test_the_doctor_never_imports_what_is_not_allowed(faulty: Any, tmp_path: Path) -> None:
    site = type(faulty)(tmp_path)
    site.install("banned-zoo", f"open({str(tmp_path / 'imported')!r}, 'w').close()\nimport os; os._exit(1)\n")
    done = site.genzoo("doctor", "--quick", "--json", GENZOO_LOAD_PLUGINS="other")
    assert "banned-zoo" in done.stdout
    assert not (tmp_path / "imported").exists()


@pytest.mark.filterwarnings("ignore:Field name")
@pytest.mark.parametrize("name", ["places", "tiny", "acts_with", "without_effect"])
def test_an_option_that_takes_the_place_of_a_declaration_is_refused_where_it_is_written(name: str) -> None:
    with pytest.raises(TypeError, match=f"Mine: an option must have a name of its own, got {name}"):
        type("Mine", (Options,), {"__annotations__": {name: str}, name: "x"})
