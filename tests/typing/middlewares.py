"""What type checkers see of the middlewares: applications of frameworks fit, in either way of putting one in front."""

from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette

from asyncfan import Cache
from asyncfan.adapters import asgi, wsgi

rules = [asgi.Rule("/items/*", expire=60, stale_while_revalidate=300), wsgi.Rule("/about", None, public=True)]

fastapi = FastAPI()
fastapi.add_middleware(asgi.CacheMiddleware, rules=rules)
Starlette().add_middleware(asgi.CacheMiddleware, Cache(), rules)
outermost: asgi.CacheMiddleware = asgi.CacheMiddleware(fastapi, rules=rules)
again: asgi.CacheMiddleware = asgi.CacheMiddleware(outermost, rules=rules)

flask = Flask(__name__)
wrapped: wsgi.CacheMiddleware = wsgi.CacheMiddleware(flask, Cache(), rules)
wsgi.CacheMiddleware(wrapped, rules=rules).close()
