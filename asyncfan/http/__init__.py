"""Requests, responses and RFC 9111, without any framework."""
