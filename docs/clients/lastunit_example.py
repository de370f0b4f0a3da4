"""A client of lastunit in Python's standard library alone, and a walk through a checkout with it.

    python3 lastunit_example.py http://127.0.0.1:8101 http://127.0.0.1:8102 http://127.0.0.1:8103

It puts a unit on sale, reserves, extends and commits it, sells one late, and waits in the line for one. Each step is
checked; the exit code is 0 where all went as it should. Take the class `Lastunit` and leave the rest.
"""

import http.client
import json
import random
import sys
import time
import urllib.parse
import uuid


class Refused(Exception):
    """The store said no. `code` is one of its words, stable for ever; `problem` is the whole document."""

    def __init__(self, problem):
        super().__init__(f"{problem['code']}: {problem['detail']}")
        self.code = problem["code"]
        self.problem = problem


class Unknown(Exception):
    """No answer in time: the call may have been executed. Ask again with the same `key` and body to find out."""

    def __init__(self, key, why):
        super().__init__(f"no answer, idempotency key {key}: {why}")
        self.key = key


class Lastunit:
    """Asks whichever node answers.

    A call has one idempotency key for all its tries, so that it is executed once, however often it is sent. What is
    tried again: a node that cannot be reached or breaks off (through the next node, at once), a 504 (its fate is
    unknown, so the same key finds it out), and a 503 (it was not executed, and `Retry-After` says when to come again).
    Everything else is an answer.
    """

    def __init__(self, nodes, patience=15.0, timeout=10.0):
        self.nodes = [urllib.parse.urlsplit(node) for node in nodes]
        self.patience = patience  # Seconds for all tries of a call.
        self.timeout = timeout  # Seconds for one of them.
        self.next = random.randrange(len(self.nodes))

    def reserve(self, cart_id, items, **more):
        """A hold for the whole cart, or, with wait=True, a place in the line of its one SKU."""
        return self.post("/api/checkout/reserve", {"cart_id": cart_id, "items": items, **more})

    def extend(self, reservation_id, ttl_seconds):
        """Moves the hold's end."""
        return self.post("/api/checkout/extend", {"reservation_id": reservation_id, "ttl_seconds": ttl_seconds})

    def commit(self, reservation_id, payment_token, late=False):
        """Sells what is held; late, too, where its units are still there."""
        body = {"reservation_id": reservation_id, "payment_token": payment_token}
        if late:
            body["if_expired"] = "reacquire"
        return self.post("/api/checkout/commit", body)

    def release(self, reservation_id):
        """Gives the units back, or leaves the line."""
        return self.post("/api/checkout/release", {"reservation_id": reservation_id})

    def reservation(self, reservation_id, wait_seconds=None, wait_while=None):
        """The reservation as it is, or, with wait_seconds, once it is in another state than wait_while."""
        query = "" if wait_seconds is None else f"?wait_seconds={wait_seconds}&while={wait_while}"
        return self.call("GET", f"/api/reservations/{reservation_id}{query}", wait=wait_seconds or 0)

    def put_sku(self, sku, on_hand):
        """Makes the SKU, or sets its stock."""
        return self.call("PUT", f"/api/inventory/{sku}", {"on_hand": on_hand}, key=str(uuid.uuid4()))

    def sku(self, sku):
        """The SKU's figures."""
        return self.call("GET", f"/api/inventory/{sku}")

    def post(self, path, body):
        """A command, executed once."""
        return self.call("POST", path, body, key=str(uuid.uuid4()))

    def call(self, method, path, body=None, key=None, wait=0):
        """Asks until there is an answer or patience ends."""
        headers = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key is not None:
            headers["Idempotency-Key"] = key
        deadline = time.monotonic() + self.patience + wait
        perhaps_done = False
        failures = 0
        while True:
            try:
                status, after, answer = self.once(method, path, body, headers, self.timeout + wait)
            except (OSError, http.client.HTTPException) as error:
                # A connection that was never made carried no call; otherwise who knows.
                perhaps_done |= key is not None and not isinstance(error, ConnectionRefusedError)
                why, pause = error, 0.1 if failures >= len(self.nodes) else 0.0
            else:
                if status < 300:
                    return answer
                if status not in (503, 504):
                    raise Refused(answer)
                perhaps_done |= status == 504
                why, pause = answer["code"], after
            failures += 1
            self.next = (self.next + 1) % len(self.nodes)
            if time.monotonic() + pause >= deadline:
                raise Unknown(key, why) if perhaps_done else TimeoutError(f"not executed: {why}")
            # A little at random, so that clients which failed together do not come again together.
            time.sleep(pause * random.uniform(1.0, 1.2))

    def once(self, method, path, body, headers, timeout):
        """One try, through one node: the status, the seconds of Retry-After, and the body."""
        node = self.nodes[self.next]
        connection = http.client.HTTPConnection(node.hostname, node.port, timeout=timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or "null")
            return response.status, float(response.headers.get("Retry-After", 0.1)), answer
        finally:
            connection.close()


def expect(found, wanted):
    """Ends the walk where it does not go as it should."""
    if found != wanted:
        sys.exit(f"expected {wanted!r}, found {found!r}")


def walk(shop):
    """Through reserve, extend, commit, late commit and waiting."""
    sku = f"walk-{uuid.uuid4().hex[:8]}"
    one = [{"sku": sku, "qty": 1}]
    shop.put_sku(sku, 2)

    print("reserve, extend, commit")
    hold = shop.reserve(f"{sku}-cart-1", one)
    expect(hold["state"], "held")
    longer = shop.extend(hold["reservation_id"], 600)
    expect(longer["expires_at"] > hold["expires_at"], True)
    sold = shop.commit(hold["reservation_id"], "pay-1")
    expect(sold["state"], "committed")

    print("commit late: the hold lasted a second, and the payment took longer")
    hold = shop.reserve(f"{sku}-cart-2", one, ttl_seconds=1)
    gone = wait_until(shop, hold["reservation_id"], "expired")
    try:
        shop.commit(gone["reservation_id"], "pay-2")
        sys.exit("an expired hold was sold without being asked to")
    except Refused as refused:
        expect(refused.code, "reservation_expired")
    sold = shop.commit(gone["reservation_id"], "pay-2", late=True)
    expect(sold["state"], "committed")

    print("wait: two carts for one unit, the second in the line")
    shop.put_sku(sku, 1)
    first = shop.reserve(f"{sku}-cart-3", one)
    try:
        shop.reserve(f"{sku}-cart-4", one)
        sys.exit("one unit was held twice")
    except Refused as refused:
        expect(refused.code, "held_by_others")
    second = shop.reserve(f"{sku}-cart-4", one, wait=True)
    expect((second["state"], second["position"]), ("waiting", 1))
    shop.release(first["reservation_id"])
    second = wait_until(shop, second["reservation_id"], "held")
    sold = shop.commit(second["reservation_id"], "pay-4")
    expect(sold["state"], "committed")

    figures = shop.sku(sku)
    expect((figures["on_hand"], figures["held"], figures["sold"]), (0, 0, 3))
    print("all went as it should")


def wait_until(shop, reservation_id, state):
    """Asks until the reservation is in that state; each call lasts until something happens."""
    reservation = shop.reservation(reservation_id)
    for _ in range(10):
        if reservation["state"] == state:
            return reservation
        reservation = shop.reservation(reservation_id, wait_seconds=10, wait_while=reservation["state"])
    sys.exit(f"{reservation_id} did not become {state}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    walk(Lastunit(sys.argv[1:]))
