"""A source in a bucket, through Snakemake's storage plugin: the same checksum rule.

Needs `pip install snakemake-storage-plugin-s3 "moto[server]"`; skipped where they are not.
"""

import shutil

import pytest
from project import Project

from ptrag.base.files import sha256

pytest.importorskip("snakemake_storage_plugin_s3")
pytest.importorskip("moto")

pytestmark = [pytest.mark.workflow, pytest.mark.xdist_group("workflow")]

SOURCE = "results/tiny/source.h5ad"


@pytest.fixture
def bucket(finished, monkeypatch):
    """A bucket on the loopback that holds the tiny screen."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)  # a free port
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        for name in ("ACCESS_KEY", "SECRET_KEY"):
            monkeypatch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", "test")
        monkeypatch.setenv("SNAKEMAKE_STORAGE_S3_ENDPOINT_URL", url)
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="bucket")
        client.upload_file(str(finished.folder / SOURCE), "bucket", "screen.h5ad")
        yield "s3://bucket/screen.h5ad"
    finally:
        server.stop()


def test_a_source_in_a_bucket_is_checked_like_any_other(bucket, root, finished, tmp_path):
    project = Project.clone(root, tmp_path / "project")
    digest = sha256(finished.folder / SOURCE)

    def remote(expected):
        def change(config):
            entry = config["datasets"]["tiny"]
            entry.pop("simulate", None), entry.pop("simulated", None)
            entry.update(file="screen.h5ad", url=bucket, sha256=expected)

        return change

    project.configure(remote("0" * 64))
    said = project.snakemake(SOURCE, ok=False)
    assert f"screen.h5ad has sha256 {digest}, {'0' * 64} is expected" in said
    assert not (project.folder / SOURCE).exists()
    project.configure(remote(digest))
    project.snakemake(SOURCE)
    assert sha256(project.folder / SOURCE) == digest
    shutil.rmtree(project.folder / "results/tiny")
    project.configure(remote("record"))
    project.snakemake(SOURCE)
    assert digest in (project.folder / f"{SOURCE}.sha256").read_text()
