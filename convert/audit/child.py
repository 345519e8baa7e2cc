"""Loads a .tflite in TFLite's reference kernels and runs it; a process of its own.

Run as a script by :mod:`convert.audit.interpreter`, outside the package, so that
it starts fast. Whatever the file does to it stays in here.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

_MEMORY_BYTES = 4 << 30
_SEED = 1


def main() -> None:
    """``child.py FILE``: writes one JSON object to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # native code may print
    import numpy as np

    try:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType
    except Exception as error:
        _say(answer, stage="import", error=_line(error))
        return
    stage = "load"
    try:
        interpreter = Interpreter(
            model_path=sys.argv[1], experimental_op_resolver_type=OpResolverType.BUILTIN_REF
        )
        stage = "allocate"
        interpreter.allocate_tensors()
        stage = "run"
        runs = [_run(interpreter, np), _run(interpreter, np)]
    except Exception as error:  # whatever the runtime makes of a wrong file
        _say(answer, stage=stage, error=_line(error))
        return
    outputs = [
        {
            "name": details["name"],
            "finite": bool(np.isfinite(first).all()) if first.dtype.kind == "f" else True,
            "same": first.tobytes() == second.tobytes(),
        }
        for details, first, second in zip(interpreter.get_output_details(), *runs, strict=True)
    ]
    _say(answer, stage="done", outputs=outputs)


def _run(interpreter: Any, np: Any) -> list[Any]:
    """The outputs for one set of inputs, the same at every call."""
    random = np.random.default_rng(_SEED)
    for details in interpreter.get_input_details():
        shape, kind = details["shape"], np.dtype(details["dtype"])
        if kind.kind == "f":
            values = random.normal(size=shape).astype(kind)
        elif kind.kind in "iu" and kind.itemsize == 1:
            low, high = np.iinfo(kind).min, np.iinfo(kind).max
            values = random.integers(low, high, shape, kind, endpoint=True)
        else:
            values = np.zeros(shape, kind)  # indices and lengths, as far as one can know
        interpreter.set_tensor(details["index"], values)
    interpreter.invoke()
    details = interpreter.get_output_details()
    return [np.array(interpreter.get_tensor(output["index"])) for output in details]


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _say(answer: Any, **content: Any) -> None:
    answer.write(json.dumps(content))
    answer.flush()


if __name__ == "__main__":
    main()
