"""A small distributed training with nothing but the standard library: data-parallel gradient descent over sockets.

Each rank has a part of the data that nobody else sees, computes a gradient on it, and the ranks add their gradients up
in a ring: every rank sends to the next one and receives from the one before, so that no link carries more than another.
They find each other at MASTER_ADDR:MASTER_PORT, where rank 0 tells everybody where everybody listens.
"""

import json
import os
import random
import socket
import struct
import time

RANK, WORLD = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
MASTER = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
HOST = os.environ["TEK_HOSTS"].split(",")[RANK]
TRUTH = (3.0, -2.0, 0.5)
STEPS, RATE, ROWS = 200, 0.4, 500
PATIENCE_S = 20.0


def send(peer, numbers):
    """Send numbers to another rank."""
    peer.sendall(struct.pack(f"!I{len(numbers)}d", len(numbers), *numbers))


def receive(peer):
    """Return the numbers that another rank sends."""
    (count,) = struct.unpack("!I", receive_bytes(peer, 4))
    return list(struct.unpack(f"!{count}d", receive_bytes(peer, 8 * count)))


def receive_bytes(peer, size):
    """Return exactly so many bytes."""
    data = b""
    while len(data) < size:
        part = peer.recv(size - len(data))
        if not part:
            raise SystemExit(f"rank {RANK}: a neighbour has gone")
        data += part
    return data


def connect(address):
    """Connect to somebody who may not listen yet."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return socket.create_connection(address, timeout=PATIENCE_S)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # the other rank does not listen yet


def exchange_addresses(own):
    """Return where each rank listens: rank 0 collects what all say, and tells them."""
    if RANK:
        with connect(MASTER) as master, master.makefile("rw") as lines:
            print(json.dumps([RANK, own]), file=lines, flush=True)
            return json.loads(lines.readline())
    known = {0: own}
    with socket.create_server(("", MASTER[1])) as server:
        server.settimeout(PATIENCE_S)
        files = [server.accept()[0].makefile("rw") for _ in range(WORLD - 1)]
        for lines in files:
            rank, address = json.loads(lines.readline())
            known[rank] = address
        for lines in files:
            print(json.dumps([known[rank] for rank in range(WORLD)]), file=lines, flush=True)
            lines.close()
    return [known[rank] for rank in range(WORLD)]


def join_ring():
    """Return the sockets to the next rank and from the one before."""
    with socket.create_server(("", 0)) as server:
        server.settimeout(PATIENCE_S)
        addresses = exchange_addresses([HOST, server.getsockname()[1]])
        following = connect(tuple(addresses[(RANK + 1) % WORLD]))
        return following, server.accept()[0]


def add_up(numbers, following, before):
    """Return the sum over all ranks: what came from the one before goes on to the next, WORLD - 1 times."""
    total, passed = list(numbers), list(numbers)
    for _ in range(WORLD - 1):
        send(following, passed)
        passed = receive(before)
        total = [one + other for one, other in zip(total, passed, strict=True)]
    return total


def rows():
    """Yield the part of the data that is this rank's."""
    draw = random.Random(RANK)
    for _ in range(ROWS):
        x = (draw.uniform(-1, 1), draw.uniform(-1, 1), 1.0)
        yield x, sum(weight * value for weight, value in zip(TRUTH, x, strict=True)) + draw.gauss(0, 0.1)


def gradient(weights, data):
    """Return the gradient of the squared error, and the error itself."""
    result = [0.0] * (len(weights) + 1)
    for x, y in data:
        error = sum(weight * value for weight, value in zip(weights, x, strict=True)) - y
        for at, value in enumerate(x):
            result[at] += error * value
        result[-1] += error * error
    return result


def main():
    """Train, and leave the weights as the result of the task."""
    following, before = join_ring()
    data, weights = list(rows()), [0.0] * len(TRUTH)
    for step in range(STEPS):
        *slope, loss = add_up(gradient(weights, data), following, before)
        weights = [weight - RATE * one / (ROWS * WORLD) for weight, one in zip(weights, slope, strict=True)]
        if step % 50 == 0 or step == STEPS - 1:
            print(f"rank {RANK} of {WORLD}, step {step}: loss {loss / (ROWS * WORLD):.4f}", flush=True)
    assert all(abs(one - other) < 0.05 for one, other in zip(weights, TRUTH, strict=True)), weights
    if RANK == 0:
        with open(os.environ["TEK_RESULT"], "w") as file:
            json.dump({"weights": [round(weight, 3) for weight in weights], "ranks": WORLD}, file)


if __name__ == "__main__":
    main()
