"""From what a user points at to a source of audio."""

from __future__ import annotations

from pathlib import Path

from dyncp.data.corpus import CorpusSource
from dyncp.data.folder_corpus import is_folder_corpus, read_folder
from dyncp.data.listing import Listing, Problems, check_labels
from dyncp.data.manifest import read_manifest
from dyncp.data.mixtures import MixtureSource
from dyncp.data.pcm_store import open_store
from dyncp.data.source import AudioSource
from dyncp.data.speakers import Split
from dyncp.data.speech import CACHE_FOLDER
from dyncp.data.voicebank import is_voicebank, read_voicebank
from dyncp.errors import UserError


def open_source(
    data: Path | None, sample_rate: int, split: Split, cache: Path = CACHE_FOLDER
) -> AudioSource:
    """One split of the corpus at ``data``; None: the synthetic data.

    ``data`` is VoiceBank+DEMAND's folder, a folder with ``clean`` and ``noise``, or a CSV
    manifest. Raises :class:`UserError` that lists every file that cannot be used.
    """
    if data is None:
        return MixtureSource(sample_rate, split, cache)
    problems = Problems(data)
    listing = _read(data, problems)
    check_labels(listing, problems)
    store = open_store(listing, sample_rate, problems, cache)
    return CorpusSource(listing, store, sample_rate, split, cache)


def _read(data: Path, problems: Problems) -> Listing:
    if not data.exists():
        raise UserError(f"no such folder or manifest: {data}")
    if data.is_file():
        if data.suffix.lower() != ".csv":
            raise UserError(f"{data} is not a manifest (.csv) or a folder; see docs/data.md")
        return read_manifest(data, problems)
    if is_voicebank(data):
        return read_voicebank(data, problems)
    if is_folder_corpus(data):
        return read_folder(data, problems)
    raise UserError(
        f"{data} has neither clean/ and noise/ nor the folders of VoiceBank+DEMAND; "
        "see docs/data.md for how data must be laid out"
    )
