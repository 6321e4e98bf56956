"""The entity index: embedded items and the nearest of them to a query, exact for small graphs, hnswlib for large ones.

It is built once from the knowledge graph and an encoder. On disk its name holds the SHA-256 of both, so a new graph or
model never uses old vectors. A cached file is loaded only if its own SHA-256 is the recorded one (a damaged hnswlib
file can end the process); otherwise it is rejected with a warning and built again. Left out: the queries and the
ranking of their answers (``experts.fact_retriever``).
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import hnswlib
import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from harness.core.errors import InputError
from harness.core.messages import Item, Struct
from harness.domain.knowledge_graph import KnowledgeGraph

Vectors = NDArray[np.float32]
Embed = Callable[[str], Vectors]
OnStep = Callable[[int, int], None]
"""Called with (items embedded, items in all)."""

EXACT_UP_TO = 5_000
"""Items below which scanning all of them is as fast as the graph search and never misses one."""

_LAYOUT = 1
# Part of the cache's name: raise it when the items' text or the files' layout changes.
_SEED = 100
_LINKS, _EF_BUILD, _EF_SEARCH = 16, 200, 256
# Of the 50 nearest among 6,576 vectors, ef 64 found .958, 128 .993, 256 .9997 (0.32 ms a query; a scan: 0.69 ms). One
# build thread, since two give different indexes from one seed.

_log = structlog.get_logger()


class EntityIndex:
    """Unit vectors (N, H) of items and the search in them; immutable, safe to search from several threads."""

    def __init__(self, ids: Sequence[str], vectors: Vectors, *, graph: hnswlib.Index | None = None) -> None:
        self.ids = tuple(ids)
        self.vectors = vectors
        """(N, H) float32, one row an id."""
        self._graph = graph

    def nearest(self, query: Vectors, k: int) -> NDArray[np.intp]:
        """Rows of the ``k`` items closest to a unit vector (H,) by cosine, best first; all rows if there are fewer."""
        k = min(k, len(self.ids))
        if self._graph is None:
            return np.argsort(-(self.vectors @ query), kind="stable")[:k]  # ties: the knowledge graph's order
        labels, _ = self._graph.knn_query(query[np.newaxis], k=k, num_threads=1)
        rows = np.sort(labels[0].astype(np.intp))
        return rows[np.argsort(-self.cosines(query, rows), kind="stable")]

    def cosines(self, query: Vectors, rows: NDArray[np.intp]) -> Vectors:
        """Cosines of a unit vector (H,) and some rows."""
        found: Vectors = self.vectors[rows] @ query
        return found


def item_text(item: Item) -> str:
    """The text of an item that is embedded: ``title (year). genres. directors. stars``."""
    parts = (item.name, *(", ".join(values) for values in (item.genres, item.directors, item.stars)))
    return ". ".join(part for part in parts if part)


def build_index(
    graph: KnowledgeGraph,
    embed: Embed,
    *,
    model_sha256: str,
    cache_dir: Path | None = None,
    progress: OnStep | None = None,
) -> EntityIndex:
    """The index of a graph's items. It blocks, for minutes with thousands of new items.

    Args:
        graph: the items.
        embed: text -> unit vector (H,).
        model_sha256: the encoder's digest, a part of the cache's name.
        cache_dir: where the index is kept; a cache that cannot be read or written gives only a warning.
        progress: told about the embedding of items.

    Raises:
        InputError: the encoder's vectors are unusable.
    """
    exact = len(graph.items) <= EXACT_UP_TO
    cache = None if cache_dir is None else _Cache(cache_dir, graph.sha256, model_sha256)
    loaded = cache.load(len(graph.items), exact) if cache else None
    if loaded is not None:
        vectors, search = loaded
    else:
        vectors = _embed_all(graph, embed, progress)
        search = None if exact else link(vectors)
        if cache:
            cache.save(vectors, search)
    return EntityIndex([item.id for item in graph.items], vectors, graph=search)


def _embed_all(graph: KnowledgeGraph, embed: Embed, progress: OnStep | None) -> Vectors:
    rows = []
    for done, item in enumerate(graph.items, start=1):
        row = np.asarray(embed(item_text(item)), dtype=np.float32)
        if row.ndim != 1 or not np.isfinite(row).all() or not 0.99 < float(row @ row) < 1.01:
            raise InputError(f"the encoder gives no unit vector for {item.name}")
        rows.append(row)
        if progress:
            progress(done, len(graph.items))
    return np.stack(rows)


def link(vectors: Vectors) -> hnswlib.Index:
    """The search graph of unit vectors (N, H), the same from run to run; blocks, for half a minute at N = 50,000."""
    search = hnswlib.Index(space="ip", dim=vectors.shape[1])
    search.init_index(max_elements=len(vectors), M=_LINKS, ef_construction=_EF_BUILD, random_seed=_SEED)
    search.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    search.set_ef(_EF_SEARCH)
    return search


class _Manifest(Struct, frozen=True, kw_only=True):
    """What a cache entry was made of, and the SHA-256 of its files; written last, so an unfinished entry has none."""

    data_sha256: str
    model_sha256: str
    files: dict[str, str]


class _Rejected(Exception):
    """The cache entry is not what its manifest says."""


class _Cache:
    """One entry: ``<key>.json`` (manifest), ``<key>.npy`` (vectors), ``<key>.hnsw`` (search graph, if large)."""

    def __init__(self, folder: Path, data_sha256: str, model_sha256: str) -> None:
        self._folder = folder
        self._data, self._model = data_sha256, model_sha256
        self._key = hashlib.sha256(f"{_LAYOUT}:{data_sha256}:{model_sha256}".encode()).hexdigest()[:32]

    def _path(self, kind: str) -> Path:
        return self._folder / f"{self._key}.{kind}"

    def load(self, items: int, exact: bool) -> tuple[Vectors, hnswlib.Index | None] | None:
        """The cached vectors and search graph; None where there is no entry or it is rejected."""
        if not self._path("json").is_file():
            return None
        try:
            manifest = msgspec.json.decode(self._path("json").read_bytes(), type=_Manifest)
            if (manifest.data_sha256, manifest.model_sha256) != (self._data, self._model):
                raise _Rejected("it belongs to another graph or encoder")
            content = self._verified(manifest, "npy")
            vectors: Vectors = np.load(io.BytesIO(content), allow_pickle=False)
            if vectors.dtype != np.float32 or vectors.ndim != 2 or len(vectors) != items:
                raise _Rejected("its vectors have another shape")
            if exact:
                return vectors, None
            self._verified(manifest, "hnsw")
            search = hnswlib.Index(space="ip", dim=vectors.shape[1])
            search.load_index(str(self._path("hnsw")), max_elements=items)
            search.set_ef(_EF_SEARCH)
            return vectors, search
        except (_Rejected, OSError, ValueError, msgspec.DecodeError, RuntimeError) as error:
            _log.warning("entity_index.cache_rejected", file=self._path("json").name, reason=str(error))
            return None

    def _verified(self, manifest: _Manifest, kind: str) -> bytes:
        content = self._path(kind).read_bytes()
        if hashlib.sha256(content).hexdigest() != manifest.files.get(kind):
            raise _Rejected(f"the SHA-256 of its .{kind} file is not the recorded one")
        return content

    def save(self, vectors: Vectors, search: hnswlib.Index | None) -> None:
        """Write each file under a temporary name, then rename it; the manifest comes last."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.save(buffer, vectors, allow_pickle=False)
            files = {"npy": self._put("npy", buffer.getvalue())}
            if search is not None:
                with tempfile.TemporaryDirectory(dir=self._folder) as aside:
                    search.save_index(str(Path(aside) / "graph"))
                    files["hnsw"] = self._put("hnsw", (Path(aside) / "graph").read_bytes())
            manifest = _Manifest(data_sha256=self._data, model_sha256=self._model, files=files)
            self._put("json", msgspec.json.encode(manifest))
        except OSError as error:
            _log.warning("entity_index.cache_not_written", folder=self._folder.name, reason=str(error.strerror))

    def _put(self, kind: str, content: bytes) -> str:
        handle, aside = tempfile.mkstemp(dir=self._folder, prefix=f".{self._key}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, self._path(kind))
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise
        return hashlib.sha256(content).hexdigest()
