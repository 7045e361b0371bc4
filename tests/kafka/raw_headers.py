"""Produces what the Python client refuses to: header names that are not UTF-8, as a C program might write them."""

import ctypes

from confluent_kafka import cimpl

_TOPIC, _PARTITION, _VALUE, _MSGFLAGS, _TIMESTAMP, _HEADERS, _COPY, _PRODUCER = 1, 3, 4, 7, 8, 10, 2, 0


def produce_with_header(
    servers: str, topic: str, value: bytes, name: bytes, *, partition: int = -1, timestamp_ms: int = 0
) -> None:
    """One record with one header of this name, by librdkafka itself; to any partition (-1), at the clock's time (0)."""
    client = ctypes.CDLL(cimpl.__file__)
    for maker in (client.rd_kafka_conf_new, client.rd_kafka_new, client.rd_kafka_headers_new):
        maker.restype = ctypes.c_void_p
    reason, size = ctypes.create_string_buffer(512), ctypes.c_size_t(512)
    conf = ctypes.c_void_p(client.rd_kafka_conf_new())
    assert client.rd_kafka_conf_set(conf, b"bootstrap.servers", servers.encode(), reason, size) == 0, reason.value
    handle = ctypes.c_void_p(client.rd_kafka_new(_PRODUCER, conf, reason, size))
    headers = ctypes.c_void_p(client.rd_kafka_headers_new(ctypes.c_size_t(1)))
    client.rd_kafka_header_add(headers, name, ctypes.c_ssize_t(len(name)), b"1", ctypes.c_ssize_t(1))
    parts = [ctypes.c_int(_TOPIC), ctypes.c_char_p(topic.encode())]
    parts += [
        ctypes.c_int(_PARTITION),
        ctypes.c_int32(partition),
        ctypes.c_int(_TIMESTAMP),
        ctypes.c_int64(timestamp_ms),
    ]
    parts += [ctypes.c_int(_VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))]
    parts += [ctypes.c_int(_HEADERS), headers, ctypes.c_int(_MSGFLAGS), ctypes.c_int(_COPY), ctypes.c_int(0)]
    assert client.rd_kafka_producev(handle, *parts) == 0
    assert client.rd_kafka_flush(handle, 30_000) == 0
    client.rd_kafka_destroy(handle)
