"""``verification mutants --mechanical``: the arguments, and what they do."""

from __future__ import annotations

import argparse
from pathlib import Path

from verification.errors import UsageError
from verification.mechanical.campaign import campaign
from verification.mechanical.scopes import SCOPES
from verification.mechanical.table import CampaignPrinter, as_json
from verification.report import json_report
from verification.report.terminal import Terminal
from verification.runner import ExitCode

__all__ = ["add_to", "perform", "wanted"]

ALL = "all"


def add_to(parser: argparse.ArgumentParser) -> None:
    """Give the command ``mutants`` the arguments of mechanical ones."""
    parser.add_argument(
        "--mechanical",
        nargs="?",
        const=ALL,
        choices=(*SCOPES, ALL),
        metavar="SCOPE",
        help="not the catalogue but every expression of refimpl, of multiscale, which "
        "is its part for several levels, of truth, or of all (default: all), changed "
        "by a machine",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="FILE",
        help="with --mechanical: only the mutants of this file; repeatable",
    )
    parser.add_argument(
        "--kept",
        type=Path,
        metavar="FILE",
        help="with --mechanical: keep every result there, one a line, and go on from "
        "what it holds",
    )


def wanted(options: argparse.Namespace) -> bool:
    """Whether mechanical mutants are asked for.

    Raises
    ------
    UsageError
        If they are not, but their options are given.
    """
    if options.mechanical is None and (options.only or options.kept):
        raise UsageError("--only and --kept go with --mechanical")
    return options.mechanical is not None


def perform(options: argparse.Namespace, terminal: Terminal) -> ExitCode:
    """Judge mechanical mutants; anything but `CONFORMS` if one survives unexplained.

    Raises
    ------
    UsageError
        For ids of the catalogue, or a file of no scope.
    """
    if options.ids:
        raise UsageError("mechanical mutants are chosen by --only FILE, not by ids")
    place = json_report.check_path(options.json) if options.json else None
    scopes = list(SCOPES) if options.mechanical == ALL else [options.mechanical]
    if options.only:
        scopes = [name for name in scopes if _concerned(name, options.only)]
    told, fine = {}, True
    for scope in scopes or SCOPES:  # the first complains of a file of none
        printer = CampaignPrinter(terminal)
        printer.header(scope)
        whole = campaign(SCOPES[scope], options.only, printer.progress, options.kept)
        printer.footer(whole)
        told[scope] = as_json(whole)
        fine &= whole.ok
    if place is not None:
        json_report.write({"schema": 1, "scopes": told}, place)
    return ExitCode.CONFORMS if fine else ExitCode.FAILS


def _concerned(scope: str, only: list[str]) -> bool:
    """Whether a scope has one of these files."""
    files = SCOPES[scope].modules()
    return any(f == word or f.endswith(f"/{word}") for f in files for word in only)
