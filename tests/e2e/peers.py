"""What applications do with sockets. A peer here knows nothing of proxies."""
import errno
import hashlib
import os
import select
import socket
import threading
import time

CHUNK = 1 << 18
_pattern = os.urandom(1 << 22)


def block(seed, offset, size):
    """`size` (at most CHUNK) bytes of the endless stream number `seed`, from `offset`."""
    at = (seed * 65537 + offset) % (len(_pattern) - CHUNK)
    return memoryview(_pattern)[at:at + size]


def send_stream(sock, total, seed=0):
    """Sends `total` bytes of a stream; returns their SHA-256."""
    digest, sent = hashlib.sha256(), 0
    while sent < total:
        piece = block(seed, sent, min(CHUNK, total - sent))
        digest.update(piece)
        sock.sendall(piece)
        sent += len(piece)
    return digest.hexdigest()


def stream_hash(total, seed=0):
    """The SHA-256 that send_stream would return."""
    digest, sent = hashlib.sha256(), 0
    while sent < total:
        piece = block(seed, sent, min(CHUNK, total - sent))
        digest.update(piece)
        sent += len(piece)
    return digest.hexdigest()


def read_exactly(sock, total):
    """The SHA-256 of the next `total` bytes; an early end raises."""
    digest, got, buffer = hashlib.sha256(), 0, bytearray(CHUNK)
    view = memoryview(buffer)
    while got < total:
        size = sock.recv_into(buffer, min(CHUNK, total - got))
        if size == 0:
            raise EOFError(f"end of file after {got} of {total} bytes")
        digest.update(view[:size])
        got += size
    return digest.hexdigest()


def ending(error):
    """How a failed socket call says that the connection ended."""
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timeout"  # ours; the kernel's has an errno
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "reset"
    return "error:" + errno.errorcode.get(error.errno, str(error))


def read_to_end(sock):
    """Reads until the connection ends: ("fin" | "reset" | "error:<name>" | "timeout", bytes, SHA-256)."""
    digest, got, buffer = hashlib.sha256(), 0, bytearray(CHUNK)
    view = memoryview(buffer)
    while True:
        try:
            size = sock.recv_into(buffer)
        except OSError as error:
            return ending(error), got, digest.hexdigest()
        if size == 0:
            return "fin", got, digest.hexdigest()
        digest.update(view[:size])
        got += size


def send_until_error(sock, limit=1 << 32):
    """Sends until the kernel refuses: "reset" | "error:<name>" | "timeout", or "sent" at the limit."""
    sent = 0
    while sent < limit:
        try:
            sent += sock.send(block(1, 0, CHUNK))
        except OSError as error:
            return ending(error)
    return "sent"


def pump(sock, timeout=60):
    """Sends and reads at once until either ends: as read_to_end's first. In one thread, because the kernel reports an
    error only once, and the other thread would see an end of file."""
    buffer, deadline = bytearray(CHUNK), time.monotonic() + timeout
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    sock.setblocking(False)
    while time.monotonic() < deadline:
        for _, events in poll.poll(100):
            try:
                if events & (select.POLLIN | select.POLLERR | select.POLLHUP) and sock.recv_into(buffer) == 0:
                    return "fin"
                if events & select.POLLOUT:
                    sock.send(block(1, 0, CHUNK))
            except BlockingIOError:
                pass
            except OSError as error:
                return ending(error)
    return "timeout"


def pair(client_pod, server_pod, timeout=30, family=socket.AF_INET):
    """A connection from one pod to the other: (client socket, server socket)."""
    with server_pod.listen(family=family) as listener:
        client = client_pod.connect(server_pod.address(family), listener.getsockname()[1], timeout)
        try:
            server, _ = listener.accept()
        except BaseException:
            client.close()
            raise
    server.settimeout(timeout)
    return client, server


class Background:
    """A function in a thread: result() waits for it, and raises what it raised."""

    def __init__(self, function, *args):
        self._value = self._error = None
        self._thread = threading.Thread(target=self._run, args=(function, args), daemon=True)
        self._thread.start()

    def _run(self, function, args):
        try:
            self._value = function(*args)
        except BaseException as error:  # handed to whoever asks for the result
            self._error = error

    def done(self):
        return not self._thread.is_alive()

    def result(self, timeout=120):
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise AssertionError(f"still running after {timeout} s")
        if self._error:
            raise self._error
        return self._value


class EchoServer:
    """Echoes every connection in one thread until close(); a half-closed client gets the rest of its bytes."""

    def __init__(self, pod, port=0, family=socket.AF_INET, host=None):
        self.pod, self.listener = pod, pod.listen(port, family, host)
        self.port = self.listener.getsockname()[1]
        self.accepted, self.resets = 0, 0
        self._stop_r, self._stop_w = os.pipe()
        self._poll = select.epoll()
        self._clients, self._queued = {}, {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        self.listener.setblocking(False)
        self._poll.register(self.listener.fileno(), select.EPOLLIN)
        self._poll.register(self._stop_r, select.EPOLLIN)
        while True:
            for fd, events in self._poll.poll():
                if fd == self._stop_r:
                    return
                if fd == self.listener.fileno():
                    self._accept()
                elif fd in self._clients:
                    self._serve(fd)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            self.accepted += 1
            self._clients[sock.fileno()], self._queued[sock.fileno()] = sock, [b"", False]
            self._poll.register(sock.fileno(), select.EPOLLIN)

    def _serve(self, fd):
        sock, state = self._clients[fd], self._queued[fd]
        try:
            if not state[0] and not state[1]:
                state[0] = sock.recv(CHUNK)
                state[1] = not state[0]
            if state[0]:
                state[0] = state[0][sock.send(state[0]):]
        except BlockingIOError:
            pass
        except OSError:
            self.resets += 1
            self._drop(fd)
            return
        if state[1] and not state[0]:
            self._drop(fd)
            return
        self._poll.modify(fd, select.EPOLLOUT if state[0] else select.EPOLLIN)

    def _drop(self, fd):
        self._poll.unregister(fd)
        self._queued.pop(fd)
        self._clients.pop(fd).close()

    def close(self):
        os.write(self._stop_w, b"x")
        self._thread.join()
        for sock in [self.listener, *self._clients.values()]:
            sock.close()
        self._poll.close()
        os.close(self._stop_r)
        os.close(self._stop_w)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
