"""A network as a short list of operations that `browser.js` runs, in a page or in node, without torch.

`export_program` traces a function with `torch.export`, so what is exported is what torch computes, whatever the modules are
called. Each operation of the trace is translated to one or several of the few that the script knows; one that it does not
know is refused by name. Whatever depends on no input is computed when it is exported, and stored as a constant.
"""

from genzoo.parts.browser.export import export_program
from genzoo.parts.browser.packed import TOLERANCE, Case, case, pack, runtime
from genzoo.parts.browser.program import Program, UnsupportedNetwork

__all__ = ["TOLERANCE", "Case", "Program", "UnsupportedNetwork", "case", "export_program", "pack", "runtime"]
