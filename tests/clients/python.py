"""The unmodified OpenFeature client for Python, against the real backend."""

import os
import subprocess

from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext


def steer(*words):
    here = os.path.dirname(os.path.abspath(__file__))
    subprocess.run(["node", os.path.join(here, "steer.mjs"), *words], check=True)


def about(key, **more):
    return EvaluationContext(targeting_key=key, attributes=more)


def said(details):
    return (details.value, details.variant, details.reason, details.error_code)


api.set_provider(OFREPProvider(base_url=os.environ["KNIGHTWATCH_TEST_URL"]))
client = api.get_client()

assert said(client.get_integer_details("number", 0, about("u"))) == (2, "two", "STATIC", None)
assert said(client.get_float_details("float", 0.0, about("u"))) == (0.5, "half", "STATIC", None)
assert client.get_object_value("object", {}, about("u")) == {"x": {"y": [1, 2]}}
assert said(client.get_string_details("colour", "", about("u", country="NL"))) == ("#f00", "red", "TARGETING_MATCH", None)
assert said(client.get_string_details("colour", "", about("u"))) == ("#00f", "blue", "DEFAULT", None)
assert client.get_boolean_details("nobody", True).error_code == "FLAG_NOT_FOUND"
assert client.get_boolean_details("number", True, about("u")).error_code == "TYPE_MISMATCH"
for own in (True, False):
    assert said(client.get_boolean_details("asleep", own, about("u"))) == (own, "", "DISABLED", None)
    assert said(client.get_boolean_details("open", own, about("u"))) == (own, "", "DEFAULT", None)

steer("set", "steered", "30")
steer("set", "team/text", "100")
assert client.get_boolean_details("steered", False).error_code == "TARGETING_KEY_MISSING"
users = [f"user-{n}" for n in range(300)]
on = [user for user in users if client.get_boolean_value("steered", False, about(user))]
assert 50 < len(on) < 130, len(on)
assert client.get_string_value("team/text", "", about("u")) == "new"
assert client.get_boolean_value("steered", False, about("u", country="NL"))

steer("kill-all")
for user in users[:50]:
    details = client.get_boolean_details("steered", True, about(user, country="NL"))
    assert (details.value, details.variant) == (False, "off"), details
assert client.get_string_value("team/text", "", about("u")) == "old"
assert client.get_integer_value("number", 0, about("u")) == 2
steer("rearm")
assert client.get_boolean_value("steered", True, about("u", country="NL")) is False
print("Python: ok")
