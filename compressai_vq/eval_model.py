"""``python -m compressai_vq.eval_model``: CompressAI's evaluation with perceptual metrics.

CompressAI's own ``compressai.utils.eval_model`` is what runs, with the same arguments and
output; this module puts the following around it:

- the architectures are registered here, whether the start-up hook is installed or not;
- every result has ``lpips`` (AlexNet) and ``dists`` beside PSNR and MS-SSIM;
- what is measured is kept until the whole run is finished, so that a run that was
  interrupted goes on when it is started again;
- a progress bar when standard error is a terminal, and one line for bad input.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import torch
import torch.nn as nn
from torch import Tensor
from tqdm import tqdm

from . import __version__
from .cache import cache_dir
from .cli.standard_streams import remark
from .codings import PRIOR
from .errors import CodecError
from .metrics.finished_rows import FinishedRows
from .metrics.picture_metrics import PictureMetrics
from .prior.network import PriorNetwork
from .prior.prior_weights import tensors_of
from .zoo import register

_METRICS = ("lpips", "dists")
_SMALLEST_SIDE = 161  # pytorch_msssim's limit, which it tells by an assertion
_EPILOG = (
    "Results have lpips (AlexNet's) and dists too; --no-perceptual, after the source, leaves "
    "them out. What is measured is kept in eval_model/ of the cache (COMPRESSAI_VQ_CACHE, "
    "default ~/.cache/compressai_vq) under the arguments, the weights and the images until the "
    "run is finished: the same command goes on where it was interrupted. "
    "As in CompressAI's own tool, pictures are padded with black to multiples of 64 pixels, and "
    "the padding is coded and counted as well."
)


def main(argv: list[str] | None = None) -> int:
    """Register and evaluate.

    Returns:
        0, or 2 for bad input and 130 when interrupted, with one line on standard error.
    """
    register()
    if sys.stderr is None:  # some services start programs without
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
    threads = torch.get_num_threads()
    # Importing it sets one thread, for its timing; the metrics use the others.
    import compressai.utils.eval_model.__main__ as tool

    parser = _parser(tool)
    arguments = parser.parse_args(sys.argv[1:] if argv is None else argv)
    try:
        if arguments.source is None:
            raise CodecError("say where the model comes from: pretrained or checkpoint")
        run = _Run(tool, arguments, threads)
        with run.around(tool, parser):
            tool.main(sys.argv[1:] if argv is None else argv)
        run.finished.remove()
    except KeyboardInterrupt:
        remark("interrupted; the same command goes on from here")
        return 130
    except (CodecError, OSError) as error:
        remark(f"error: {error}")
        return 2
    return 0


def _parser(tool: ModuleType) -> argparse.ArgumentParser:
    parser = tool.setup_args()
    parser.epilog = _EPILOG
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for source in action.choices.values():
                source.epilog = _EPILOG
                source.add_argument(
                    "--no-perceptual", action="store_true", help="leave out LPIPS and DISTS"
                )
    return parser


class _Run:
    """What surrounds one run of CompressAI's tool.

    Args:
        tool: its module.
        arguments: what it was called with.
        threads: how many the metrics may use.
    """

    def __init__(self, tool: ModuleType, arguments: argparse.Namespace, threads: int) -> None:
        self._compute_metrics = tool.compute_metrics
        self._read_image = tool.read_image
        self._threads = threads
        self._path: Any = None
        self._model: nn.Module | None = None
        self._fingerprint = ""
        self._bar = tqdm(
            disable=not sys.stderr.isatty(), unit="image", total=_rows(tool, arguments)
        )
        self._metrics = _metrics(arguments)
        # A row depends on the settings, and by its name on image, weights and scale.
        settings = ("architecture", "entropy_coder", "cuda", "half", "no_perceptual")
        depends_on: dict[str, Any] = {name: getattr(arguments, name) for name in settings}
        depends_on["entropy_estimation"] = arguments.entropy_estimation
        depends_on["versions"] = [__version__, torch.__version__, tool.compressai.__version__]
        key = hashlib.sha256(json.dumps([vars(arguments), depends_on]).encode()).hexdigest()
        path = cache_dir() / "eval_model" / f"{key[:32]}.rows"
        self.finished = FinishedRows(path, depends_on)

    @contextlib.contextmanager
    def around(self, tool: ModuleType, parser: argparse.ArgumentParser) -> Iterator[None]:
        """Stand between the tool and its own functions while it runs."""
        inference = functools.partial(self._infer, tool, tool.inference)
        estimation = functools.partial(self._infer, tool, tool.inference_entropy_estimation)
        with (
            self._bar,
            mock.patch.object(tool, "setup_args", lambda: parser),
            mock.patch.object(tool, "read_image", self._read),
            mock.patch.object(tool, "load_checkpoint", _one_line(tool.load_checkpoint)),
            mock.patch.object(tool, "load_pretrained", _one_line(tool.load_pretrained)),
            mock.patch.object(tool, "inference", inference),
            mock.patch.object(tool, "inference_entropy_estimation", estimation),
        ):
            yield

    def _read(self, path: Any) -> Tensor:
        if not path.is_file():  # the tool asserts it
            raise CodecError(f"{path}: cannot be read: it is not a file")
        try:
            image = self._read_image(path)
        except Exception as error:  # Pillow names no class of what a file can lead to
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())
            raise CodecError(f"{path}: cannot be read: {reason}") from error
        if min(image.shape[1:]) < _SMALLEST_SIDE:
            raise CodecError(
                f"{path}: MS-SSIM needs sides of at least {_SMALLEST_SIDE} pixels, and this has "
                f"{image.shape[2]}x{image.shape[1]}; `compressai-vq eval` takes any size"
            )
        self._path = path
        return image

    def _infer(
        self,
        tool: ModuleType,
        function: Callable[..., dict[str, float]],
        model: nn.Module,
        x: Tensor,
        vbr_stage: int | None = None,
        vbr_scale: Any = None,
    ) -> dict[str, float]:
        """One row: from the run that was interrupted, or from the tool's own function."""
        name = f"{_digest([x])} {self._weights(model)} {vbr_stage} {vbr_scale}"
        row = self.finished.get(name)
        if row is None:
            pictures: list[Tensor] = []

            def keep(original: Tensor, decoded: Tensor, max_val: int = 255) -> dict[str, Any]:
                both = torch.cat([original, decoded]).float()
                pictures.extend((both * 255).clamp(0, 255).round().byte().cpu())
                # In fp16 squared errors of 8-bit values would have no room.
                return self._compute_metrics(original.float(), decoded.float(), max_val)

            try:
                with mock.patch.object(tool, "compute_metrics", keep):
                    row = function(model, x, vbr_stage, vbr_scale)
            except ValueError as error:  # tables that were never made, for one
                raise CodecError(f"{self._path}: cannot be coded: {error}") from error
            row = {**row, **self._perceptual(*pictures)}
            with contextlib.suppress(CodecError):  # no cache: only going on is not to be had
                self.finished.add(name, row)
        self._bar.update()
        return row

    def _perceptual(self, original: Tensor, decoded: Tensor) -> dict[str, float]:
        torch.set_num_threads(self._threads)
        try:
            return self._metrics.against(original)(decoded)
        finally:
            torch.set_num_threads(1)

    def _weights(self, model: nn.Module) -> str:
        """The model's fingerprint; its weights do not change while it is the same object.

        Variable-rate models' tables do, with the scale that is part of the row's name.
        """
        if model is not self._model:
            self._model = model
            tensors = list(model.state_dict().values())
            prior = getattr(model, "prior", None)  # which is no part of a codec's state dict
            if isinstance(prior, PriorNetwork) and getattr(model, "coding", None) == PRIOR:
                tensors += tensors_of(prior).values()
            self._fingerprint = _digest(tensors)
        return self._fingerprint


def _metrics(arguments: argparse.Namespace) -> PictureMetrics:
    try:
        return PictureMetrics(() if arguments.no_perceptual else _METRICS)
    except CodecError as error:
        raise CodecError(f"{error}; or leave LPIPS and DISTS out: --no-perceptual") from None


def _rows(tool: ModuleType, arguments: argparse.Namespace) -> int:
    """How many rows there will be; raises CodecError for what the tool would trip over."""
    images = len(tool.collect_images(arguments.dataset))
    if not images:
        endings = ", ".join(tool.IMG_EXTENSIONS)
        raise CodecError(f"{arguments.dataset}: no files that end in {endings}")
    if arguments.per_image and not arguments.output_directory:
        raise CodecError("--per-image needs a folder for the files: -d")
    if arguments.architecture.endswith("-vbr"):
        if arguments.source == "checkpoint" and len(arguments.checkpoint_paths) > 1:
            raise CodecError(
                f"-p takes one checkpoint of {arguments.architecture}: "
                "--vbr_quantstep sets its rates"
            )
        steps = _numbers(float, "--vbr_quantstep", arguments.vbr_quantstepsizes)
        if not all(0 < step < math.inf for step in steps):
            raise CodecError(
                f"--vbr_quantstep takes steps above 0, not {arguments.vbr_quantstepsizes}"
            )
        return images * len(steps)
    if arguments.source == "pretrained":
        return images * len(_numbers(int, "-q", arguments.qualities))
    return images * len(arguments.checkpoint_paths)


def _numbers(kind: type, option: str, text: str) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split(",") if part]
        if not numbers:
            raise ValueError("none")
        return numbers
    except ValueError:
        raise CodecError(f"{option} takes numbers such as 1,5,9, not {text!r}") from None


def _one_line(load: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The tool's loaders raise whatever a file or a number that is no good leads to."""

    def loading(*arguments: Any) -> nn.Module:
        of = arguments[-1]
        quality = isinstance(of, int)  # of a pretrained model; else it is a checkpoint's path
        try:
            return load(*arguments)
        except OSError:
            raise
        except Exception as error:
            if quality and isinstance(error, CodecError):
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            source = f"at quality {of}" if quality else f"from {of}"
            raise CodecError(f"cannot load {arguments[0]} {source}: {reason}") from error

    return loading


def _digest(tensors: Any) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        value = tensor.detach().cpu().contiguous()
        digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
