"""Load what can be trained or was trained: safetensors only, and an adapter only onto its own base."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from palate.errors import InputError, ModelError
from palate.extras import Foreign, require
from palate.policy._torch import torch
from palate.policy.trainer._checkpoint import (
    damage,
    read_json,
    refuse_missing,
    refuse_pickles,
    unreadable,
)
from palate.policy.trainer._network import fingerprint
from palate.policy.trainer._processes import own_device

__all__ = ["Policy", "load_policy", "read_model"]

ADAPTER: Final = "adapter_model.safetensors"


class Policy(NamedTuple):
    """A model and its tokeniser."""

    model: Foreign
    tokenizer: Foreign


def load_policy(folder: Path, *, base: Path | None = None, device: str = "auto") -> Policy:
    """Load a model for training or for answers.

    Args:
        folder: Of a model in transformers' form, or of an adapter in PEFT's.
        base: Folder of the model below an adapter; needed for one.
        device: ``auto`` takes the accelerator where there is one; of several processes each its own.

    Returns:
        The model in 32 bits, with its adapter where ``folder`` is one, and the tokeniser.

    Raises:
        InputError: The weights are pickles, damaged, or an adapter for another model.
        ModelError: The files are not a causal language model.
    """
    transformers = require("transformers", "train", "loading a model")
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give the folder of a model or of an adapter")
    refuse_pickles(folder)
    if (folder / "complete.json").is_file() and (wrong := damage(folder)):
        raise InputError(f"{folder} is damaged: {wrong}; copy it again, or train again")
    adapter = (folder / "adapter_config.json").is_file()
    if adapter and base is None:
        raise InputError(
            f"{folder} is an adapter, without the model below it; give that model's folder as base, or a "
            "folder into which the adapter has been merged"
        )
    below = base if adapter and base is not None else folder
    if below is not folder:
        refuse_pickles(below)
    place = own_device() if device == "auto" else torch.device(device)
    tokenizer, model, told = read_model(below, transformers.AutoModelForCausalLM, "a causal language model")
    refuse_missing(told, below)
    if adapter:
        model = _with_adapter(model, folder, below)
    return Policy(model.to(place).eval(), tokenizer)


def read_model(folder: Path, kind: Foreign, what: str) -> tuple[Foreign, Foreign, Mapping[str, Any]]:
    """Read a tokeniser and a model in 32 bits from safetensors.

    Args:
        folder: Of both.
        kind: The class of transformers that reads the model.
        what: The model ought to be, for people.

    Returns:
        Tokeniser, model, and what transformers tells of the load.

    Raises:
        InputError: The weights are cut off.
        ModelError: The folder holds something else.
    """
    transformers = require("transformers", "train", "training")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model, told = kind.from_pretrained(
            folder,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except unreadable() as error:
        raise InputError(f"{folder} is damaged: {error}; copy it again, or train again") from error
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"{folder} does not hold {what}: {error}") from error
    return tokenizer, model, told


def _with_adapter(model: Foreign, folder: Path, base: Path) -> Foreign:
    peft = require("peft", "train", "loading an adapter")
    if not (folder / ADAPTER).is_file():  # PEFT would take a pickle then
        raise InputError(
            f"{folder} is an adapter without {ADAPTER}; pickles are refused: save it again as safetensors"
        )
    told = read_json(folder / "palate.json") if (folder / "palate.json").is_file() else {}
    if told.get("base", "") not in ("", fingerprint(model)):
        raise InputError(
            f"the adapter in {folder} was trained on another model than the one in {base}; its numbers mean "
            "nothing there. Give the model that it was trained on"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an old name
            return peft.PeftModel.from_pretrained(model, folder, is_trainable=True)
    except unreadable() as error:
        raise InputError(f"{folder} is damaged: {error}; copy it again, or train again") from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"the adapter in {folder} does not fit the model in {base}: {error}") from error
