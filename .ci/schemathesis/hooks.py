"""Mends calls that a JSON Schema takes for good, and that are not, by what the document says in words."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # What is made to be bad stays as it is: mended in one place it might be good.
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.body = whole(case.body)
        mend_cart(case.body)
        mend_part(case.body)
        mend_preconditions(case)


def whole(value):
    """1.0 as 1: JSON Schema takes the two for the same integer, and the contract takes the second alone."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    return value


def mend_cart(body):
    """A cart names a SKU once, lest its quantities add up to too much, and waits for one SKU alone."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        return
    body["items"] = list({item["sku"]: item for item in body["items"]}.values())
    if len(body["items"]) > 1:
        body.pop("wait", None)


def mend_part(body):
    """Only the state knows what a reservation has: a part that is made up is refused."""
    if isinstance(body, dict) and "reservation_id" in body:
        body.pop("items", None)


def mend_preconditions(case):
    """A put has one precondition. And schemathesis has a flaw: its coverage gives optional headers the value 0."""
    for name in ("If-Match", "If-None-Match"):
        if case.headers and case.headers.get(name) == "0":
            case.headers[name] = "*"
    if case.headers and case.method.upper() == "PUT" and "If-Match" in case.headers:
        case.headers.pop("If-None-Match", None)
