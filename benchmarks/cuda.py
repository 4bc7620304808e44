"""How fast genzoo trains on a CUDA device, and in how much memory: ``python benchmarks/cuda.py [--help]``.

The work is in `on_cuda`. This file holds the command's name alone: torch looks for a module of the same name, so it
must import nothing, and its folder must come last where modules are looked for.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    here = str(Path(__file__).resolve().parent)
    sys.path[:] = [*(path for path in sys.path if path != here), here]
    from on_cuda import main

    sys.exit(main())
