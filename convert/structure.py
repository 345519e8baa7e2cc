"""The graph's structure in TFLite: onnx2tf's float model, kept for its operators alone.

onnx2tf and TensorFlow print, leave files in the working folder and change the
process's state, so they run in a child process inside a temporary folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx

from dyncp.errors import UserError

_TIMEOUT_SECONDS = 600
_CHANNELS_LAST = [0, 2, 3, 1]

_WORKER = """
import onnx2tf
onnx2tf.convert(
    input_onnx_file_path="model.onnx",
    output_folder_path="converted",
    param_replacement_file="layout.json",
    output_signaturedefs=True,
    disable_strict_mode=True,
    non_verbose=True,
)
"""


def float_structure(onnx_path: str | Path) -> bytes:
    """Convert an exported ONNX file; gives the bytes of the float32 .tflite.

    Its signature has the ONNX file's names; the order of inputs, outputs and
    tensors is onnx2tf's own. Takes 5 to 15 seconds.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryDirectory(prefix="sluice-convert-") as name:
        folder = Path(name)
        graph = onnx.load(str(onnx_path))
        onnx.save(graph, folder / "model.onnx")
        (folder / "layout.json").write_text(json.dumps(_layout(graph)), encoding="utf-8")
        try:
            finished = subprocess.run(
                [sys.executable, "-c", _WORKER],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"onnx2tf did not finish {onnx_path} in {_TIMEOUT_SECONDS} s"
            ) from error
        converted = folder / "converted" / "model_float32.tflite"
        if finished.returncode != 0 or not converted.is_file():
            lines = (finished.stdout + finished.stderr).strip().splitlines() or ["no output"]
            raise UserError(f"onnx2tf could not convert {onnx_path}: {lines[-1].strip()}")
        return converted.read_bytes()


def _layout(graph: onnx.ModelProto) -> dict[str, object]:
    """What onnx2tf must be told of the residual additions.

    onnx2tf 1.29.24 takes an Add whose result is not in ONNX's layout for a
    mistake and turns it back to channels first, which leaves TRANSPOSEs around
    the moving average. Its own replacement file turns it to channels last
    again, and TensorFlow cancels the pair.
    """
    return {
        "format_version": 1,
        "operations": [
            {
                "op_name": node.name,
                "param_target": "outputs",
                "param_name": node.output[0],
                "post_process_transpose_perm": _CHANNELS_LAST,
            }
            for node in graph.graph.node
            if node.op_type == "Add"
        ],
    }
