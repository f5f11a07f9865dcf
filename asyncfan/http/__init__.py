"""Requests, responses and RFC 9111, without any framework: decorator -> serving -> keys, storing."""

from .decorator import cache_response

__all__ = ["cache_response"]
