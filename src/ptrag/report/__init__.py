"""The report: one HTML file that needs no network."""

from ptrag.report.page import write_report

__all__ = ["write_report"]
