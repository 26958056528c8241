"""A small made-up screen, and files of it as people have them."""

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

LINES = ("k562", "rpe1")
PERTURBED = ["TP53", "MYC", "JAK2", "STAT1", "IRF1", "KLF1", "CEBPA", "GATA1"]
GENES = [*PERTURBED, "SPI1", "BCL6", "EGR1", "ATF4", *(f"NOVEL{i}" for i in range(18))]
SPEC = {
    "columns": {"perturbation": "gene", "cell_line": "line", "batch": "lane"},
    "control": "control",
    "scale": "counts",
}
ALL = {"genes": "all", "n_genes": 10, "yardstick": 0.5}


def screen(seed=0, per=6, controls=20, perturbations=PERTURBED, control="control"):
    """Counts of two lines, each perturbation ``per`` cells a line; its own gene falls."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(2.0, 2.0, len(GENES)) + 0.5
    rows = [
        (name, line, f"b{i % 2}")
        for line in LINES
        for name in [control, *perturbations]
        for i in range(controls if name == control else per)
    ]
    obs = pd.DataFrame(rows, columns=["gene", "line", "lane"])
    obs.index = [f"cell{i}" for i in range(len(obs))]
    mean = np.tile(base, (len(obs), 1))
    for i, name in enumerate(obs["gene"]):
        for part in name.split("+"):
            if part in GENES:
                mean[i, GENES.index(part)] *= 0.1
    X = rng.poisson(mean).astype(np.float32)
    X[X.sum(axis=1) == 0, 0] = 1
    adata = anndata.AnnData(sp.csr_matrix(X), obs=obs, var=pd.DataFrame(index=GENES))
    for column in obs:
        adata.obs[column] = adata.obs[column].astype("category")
    return adata


def relabelled(change, column="gene"):
    """Return the screen with its labels changed one by one."""
    adata = screen()
    adata.obs[column] = [change(str(label), i) for i, label in enumerate(adata.obs[column])]
    return adata


def with_ids(adata, symbols="gene_name"):
    """Return cells whose var names are Ensembl ids and whose symbols stand in a column."""
    adata = adata.copy()
    adata.var[symbols] = list(adata.var_names)
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    return adata


def log1p(adata, total=1e4):
    """Return cells on the log1p scale, each divided to ``total``."""
    adata = adata.copy()
    X = adata.X.toarray() if sp.issparse(adata.X) else np.asarray(adata.X)
    adata.X = np.log1p(X / X.sum(axis=1, keepdims=True) * total).astype(np.float32)
    return adata


def write_anndata06(path, adata, sparse=True):
    """Write the layout of anndata 0.6: tables as compound arrays, categories in uns."""
    with h5py.File(path, "w") as file:
        if sparse:
            X = adata.X.tocsr()
            group = file.create_group("X")
            group.attrs["h5sparse_format"] = "csr"
            group.attrs["h5sparse_shape"] = np.array(X.shape)
            for key in ("data", "indices", "indptr"):
                group[key] = getattr(X, key)
        else:
            file["X"] = adata.X.toarray()
        for key, table in (("obs", adata.obs), ("var", adata.var)):
            columns = {"index": np.array(table.index, dtype="S")}
            columns |= {name: table[name].cat.codes.to_numpy().astype("i1") for name in table}
            file[key] = np.rec.fromarrays(list(columns.values()), names=list(columns))
        uns = file.create_group("uns")
        for name in adata.obs:
            uns[f"{name}_categories"] = np.array(adata.obs[name].cat.categories, dtype="S")


def write_h5mu(path, modalities, obs=None):
    """Write what mudata writes: a header before the HDF5, tables of all at the top."""
    from anndata.io import write_elem

    with h5py.File(path, "w", userblock_size=512) as file:
        file.attrs["encoding-type"], file.attrs["encoding-version"] = "MuData", "0.1.0"
        if obs is not None:
            write_elem(file, "obs", obs)
        for name, adata in modalities.items():
            write_elem(file, f"mod/{name}", adata)
    with open(path, "r+b") as file:
        file.write(b"MuData (format-version=0.1.0;creator=test;creator-version=0)")


def write_tenx(path, adata):
    """Write what Cell Ranger 3 writes: genes × barcodes, by columns."""
    X = adata.X.tocsr()
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array(adata.obs_names, dtype="S")
        matrix["shape"] = np.array([adata.n_vars, adata.n_obs])
        matrix["data"], matrix["indices"], matrix["indptr"] = X.data, X.indices, X.indptr
        matrix["features/id"] = np.array([f"ENSG{i:011d}" for i in range(adata.n_vars)], dtype="S")
        matrix["features/name"] = np.array(adata.var_names, dtype="S")


def stored(change, **options):
    """Return a writer of the screen after a change of its AnnData."""

    def write(path):
        adata = screen()
        changed = change(adata)
        (adata if changed is None else changed).write_h5ad(path, **options)

    return write


def edited(change):
    """Return a writer of the screen whose file is changed afterwards."""

    def write(path):
        screen().write_h5ad(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return write


def unlabelled(value):
    """Return a writer of the screen with another label than JAK2."""

    def write(path):
        adata = screen()
        adata.obs["gene"] = (
            adata.obs["gene"].astype(object).where(adata.obs["gene"] != "JAK2", value)
        )
        adata.write_h5ad(path)

    return write
