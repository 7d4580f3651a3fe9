"""JSON schemas (2020-12) of all files, one for each, complete in itself."""

from __future__ import annotations

from typing import Any

from verification.vectors.families import FAMILIES

__all__ = ["schemas"]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
HEXADECIMAL = r"^-?0x[01](\.[0-9a-f]+)?p[+-][0-9]+$"
DECIMAL = r"^-?[0-9]+(\.[0-9]+)?(E[+-][0-9]+)?$"
TC_ID = r"^[a-z0-9-]+-[0-9]{4}$"

TEXT = {"type": "string"}
COUNT = {"type": "integer", "minimum": 0}
#: A pattern speaks of strings alone.
NUMBER = {"type": ["number", "string"], "pattern": HEXADECIMAL}
OPTIONAL_COUNT = {"anyOf": [COUNT, {"type": "null"}]}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": sorted(required),
        "additionalProperties": False,
    }


def _map(values: Any) -> dict[str, Any]:
    """An object of any names; its values are of one form."""
    return {"type": "object", "additionalProperties": values}


def _one_of(*words: Any) -> dict[str, Any]:
    return {"enum": list(words)}


NUMBERS = _list(NUMBER)
MATRIX = _list(NUMBERS)
START = {"type": ["array", "null"], "items": NUMBER}

#: The inputs of every family, by name.
_AT: dict[str, Any] = {"x": NUMBERS, "tau": NUMBER}
_CHAIN: dict[str, Any] = {**_AT, "step_sizes": NUMBERS, "start": START, "draws": MATRIX}
_SAMPLES: dict[str, Any] = {**_AT, "samples": COUNT, "workers": COUNT, "draws": MATRIX}
_RUN = {"x0": NUMBERS, "tau": NUMBER, "updates": COUNT}


def _quantity(*words: str) -> dict[str, Any]:
    return {"quantity": _one_of(*words)}


INPUTS: dict[str, dict[str, Any]] = {
    "sgld_replay": _object(_CHAIN),
    "sgld_impulse": _object(_CHAIN),
    "rm_replay": _object({**_CHAIN, "inner_samples": COUNT, "draws": _list(MATRIX)}),
    "is_replay": _object({**_SAMPLES, **_quantity("mean", "weights")}),
    "is_extreme": _object({**_SAMPLES, **_quantity("mean")}),
    "local_entropy": _object({**_AT, **_quantity("value", "gradient")}),
    "heat": _object({**_AT, **_quantity("value", "gradient")}),
    "posterior_moments": _object({**_AT, **_quantity("mean", "covariance")}),
    "kl_gauss": _object(
        {"mean0": NUMBERS, "cov0": MATRIX, "mean1": NUMBERS, "cov1": MATRIX}
    ),
    "alg1_steps": _object(_RUN),
    "alg2_steps": _object(_RUN),
    "majorizers": _object({**_AT, "y": NUMBERS, **_quantity("local_entropy", "heat")}),
    "mlp": _object({"x": NUMBERS, **_quantity("value", "gradient")}),
    "schedules": {
        "oneOf": [
            _object(
                {
                    "kind": _one_of("scoping"),
                    "tau0": NUMBER,
                    "tau1": NUMBER,
                    "k": COUNT,
                }
            ),
            _object(
                {
                    "kind": _one_of("harmonic", "power"),
                    "parameters": NUMBERS,
                    "count": COUNT,
                }
            ),
        ]
    },
    "laws": _object(
        {**_AT, "algorithm": _one_of(3, 4, 5), **_quantity("mean", "covariance")},
        step_sizes=NUMBERS,
        start=START,
        inner_samples=COUNT,
        samples=COUNT,
        workers=COUNT,
    ),
}

_CURVATURE = {"anyOf": [NUMBER, NUMBERS, MATRIX]}
_BELLS: dict[str, Any] = {"means": MATRIX, "covariances": _list(MATRIX)}
LOSSES: dict[str, dict[str, Any]] = {
    "constant": {"c": NUMBER, "d": COUNT},
    "linear": {"g": NUMBERS, "c": NUMBER},
    "quadratic": {"H": _CURVATURE, "m": NUMBERS, "c": NUMBER},
    "quartic": {"c4": NUMBERS, "c3": NUMBERS, "c2": NUMBERS, "coupling": NUMBER},
    "trigonometric": {
        "amplitude": NUMBERS,
        "frequency": MATRIX,
        "phase": NUMBERS,
        "H": _CURVATURE,
        "m": NUMBERS,
        "c": NUMBER,
    },
    "gaussian_mixture": {"weights": NUMBERS, **_BELLS},
    "gaussian_wells": {"depths": NUMBERS, **_BELLS, "c": NUMBER},
    "least_squares": {"A": MATRIX, "b": NUMBERS},
    "network": {
        "sizes": _list(COUNT),
        "images": MATRIX,
        "labels": _list(COUNT),
        "activation": _one_of("relu", "tanh", "sigmoid"),
    },
}


def _nested(name: str, types: list[str], **more: Any) -> dict[str, Any]:
    """Values of some types, or lists of such, or lists of lists."""
    items = {"$ref": f"#/$defs/{name}"}
    return {"type": [*types, "array"], "items": items, **more}


_DEFS = {
    "decimals": _nested("decimals", ["string"], pattern=DECIMAL),
    "hexadecimals": _nested("hexadecimals", ["string"], pattern=HEXADECIMAL),
    "wrong": _nested("wrong", ["number", "null"]),
    "loss": {
        "oneOf": [
            _object({"kind": _one_of(kind), **fields})
            for kind, fields in LOSSES.items()
        ]
    },
    "right": _object(
        {
            "output": {"$ref": "#/$defs/decimals"},
            "hex": {"$ref": "#/$defs/hexadecimals"},
        }
    ),
}

_WRONG = _object(
    {
        "mistake": TEXT,
        "output": {"$ref": "#/$defs/wrong"},
        "gapOverTol": {"type": ["number", "null"]},
    }
)
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_LRE = {"type": "number", "minimum": 0}


def _test(family: str) -> dict[str, Any]:
    right = {"$ref": "#/$defs/right"}
    several = _object({"anyOf": {**_list(right), "minItems": 2}})
    expected = {"oneOf": [right, several]} if family == "alg2_steps" else right
    return _object(
        {
            "tcId": {"type": "string", "pattern": TC_ID},
            "flags": {**_list(TEXT), "uniqueItems": True},
            "input": INPUTS[family],
            "expected": expected,
            "bound": _object(
                {
                    "B": _POSITIVE,
                    "tolFloat64": _POSITIVE,
                    "tolFloat32": _POSITIVE,
                    "lreRequired64": _LRE,
                    "lreRequired32": _LRE,
                }
            ),
            "mustDiffer": _list(_WRONG),
            "nearestMistakeGapOverTol": {"type": ["number", "null"], "minimum": 1000},
        }
    )


def _group(family: str) -> dict[str, Any]:
    parts = {
        "conventions": _map(TEXT),
        "truth": _object(
            {
                "methodA": TEXT,
                "methodB": TEXT,
                "agreementDigits": COUNT,
                "certifiedDigits": COUNT,
            }
        ),
        "tests": {**_list(_test(family)), "minItems": 1},
    }
    if family not in ("kl_gauss", "schedules"):
        parts["loss"] = {"$ref": "#/$defs/loss"}
    return _object(parts)


_NOTE = _object(
    {"bugType": TEXT, "description": TEXT, "effect": TEXT, "links": _list(TEXT)}
)


def _schema(name: str, title: str, body: dict[str, Any], **defs: Any) -> dict[str, Any]:
    head = {"$schema": DRAFT, "$id": f"{name}_v1.schema.json", "title": title}
    return {**head, **body, **({"$defs": defs} if defs else {})}


def _of_family(family: str) -> dict[str, Any]:
    body = _object(
        {
            "schema": _one_of(f"{family}_v1.schema.json"),
            "suiteVersion": TEXT,
            "family": _one_of(family),
            "paper": _object(
                {"equations": _list(COUNT), "section": TEXT}, algorithm=COUNT
            ),
            "asks": _list(TEXT),
            "generator": _object({"script": TEXT, "methods": _list(TEXT)}),
            "numberOfTests": COUNT,
            "notes": _map(_NOTE),
            "mistakes": _map(_object({"name": TEXT, "sentence": TEXT})),
            "testGroups": _list(_group(family)),
        }
    )
    defs = dict(_DEFS)
    if family in ("kl_gauss", "schedules"):
        del defs["loss"]
    return _schema(family, f"Vectors of the family {family}", body, **defs)


ANSWERS = _object(
    {
        "answersVersion": _one_of(1),
        "subject": TEXT,
        "dtype": _one_of("float64", "float32"),
        "answers": _list(_object({"tcId": TEXT, "output": {"$ref": "#/$defs/output"}})),
    }
)
_OUTPUT = _nested("output", ["number", "string", "null"])
_ERRATUM = _object(
    {
        "tcId": TEXT,
        "suiteVersion": TEXT,
        "what": TEXT,
        "old": {},
        "new": {},
        "affected": TEXT,
    }
)


def _others() -> dict[str, dict[str, Any]]:
    head = {"schema": TEXT, "suiteVersion": TEXT}
    file = _object({"sha256": TEXT, "bytes": COUNT, "tests": OPTIONAL_COUNT})
    refused = _object(
        {
            "tcId": {"type": "string", "pattern": TC_ID},
            "flags": _list(TEXT),
            "text": TEXT,
            "exitCode": _one_of(1, 4, 5),
            "reason": TEXT,
        }
    )
    return {
        "answers": _schema("answers", "Answers", ANSWERS, output=_OUTPUT),
        "errata": _schema(
            "errata", "Errata", _object({"schema": TEXT, "errata": _list(_ERRATUM)})
        ),
        "manifest": _schema(
            "manifest",
            "Manifest",
            _object({**head, "numberOfTests": COUNT, "files": _map(file)}),
        ),
        "negative": _schema(
            "negative",
            "Answers that a judge must refuse or fail",
            _object(
                {
                    **head,
                    "numberOfTests": COUNT,
                    "notes": _map(_NOTE),
                    "tests": _list(refused),
                }
            ),
        ),
        "provenance": _schema("provenance", "Provenance", _map(TEXT)),
    }


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by their file names."""
    families = {name: _of_family(name) for name in FAMILIES}
    return {
        f"{name}_v1.schema.json": schema
        for name, schema in {**families, **_others()}.items()
    }
