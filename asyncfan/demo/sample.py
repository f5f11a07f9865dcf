"""The database that the demo builds for those who bring none: a car dealer's, the same every time."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

__all__ = ["DASHBOARD", "VEHICLES", "VEHICLE_BY_ID", "build_sample"]

VEHICLES = 5_000
_USERS = 2_000
_SALES = 3_000
_ORDERS = 4_000
_SITES = ("Busan", "Daegu", "Incheon", "Gwangju", "Seoul")
_MODELS = {
    "Hyundai": ("Avante", "Ioniq 5", "Santa Fe", "Sonata", "Tucson"),
    "Kia": ("Carnival", "EV6", "K5", "Sorento", "Sportage"),
    "Genesis": ("G70", "G80", "GV60", "GV70"),
}
_COLORS = ("black", "blue", "green", "grey", "red", "silver", "white")
_GIVEN = ("Ara", "Bora", "Jin", "Min", "Sun", "Woo")
_FAMILY = ("Choi", "Han", "Jung", "Kang", "Kim", "Lee", "Park")
_ORDER_STATES = ("cancelled", "delivered", "delivered", "paid", "placed")
_FIRST_DAY = date(2023, 1, 1)

_SCHEMA = """
create table vehicles (
    id integer primary key, vin text not null unique, maker text not null, model text not null,
    year integer not null, color text not null, mileage_km integer not null, list_price integer not null);
create table users (
    id integer primary key, name text not null, email text not null unique, city text not null,
    joined_on text not null, active integer not null);
create table inventory (
    vehicle_id integer primary key references vehicles, site text not null, bay text not null,
    arrived_on text not null);
create table sales (
    id integer primary key, vehicle_id integer not null references vehicles,
    user_id integer not null references users, sold_on text not null, amount integer not null);
create table orders (
    id integer primary key, vehicle_id integer not null references vehicles,
    user_id integer not null references users, ordered_on text not null, state text not null);
"""
# Made after the rows are in: half the time of filling tables that have them.
_INDEXES = """
create index sales_by_vehicle on sales (vehicle_id, sold_on);
create index sales_by_day on sales (sold_on);
create index inventory_by_site on inventory (site);
create index orders_by_user on orders (user_id);
create index orders_by_state on orders (state);
"""

VEHICLE_BY_ID = """
select v.id, v.vin, v.maker, v.model, v.year, v.color, v.mileage_km, v.list_price, i.site, i.bay,
       (select max(s.sold_on) from sales s where s.vehicle_id = v.id) as last_sold_on
from vehicles v left join inventory i on i.vehicle_id = v.id
where v.id = ?
"""

DASHBOARD = {
    "sales": """
        select substr(sold_on, 1, 7) as month, count(*), sum(amount)
        from sales group by month order by month""",
    "inventory": "select site, count(*), min(arrived_on) from inventory group by site order by site",
    "users": "select city, count(*), sum(active) from users group by city order by city",
    "orders": "select state, count(*), max(ordered_on) from orders group by state order by state",
    "performance": """
        select v.maker, count(*), round(avg(s.amount * 1.0 / v.list_price), 4),
               round(avg(julianday(s.sold_on) - julianday(i.arrived_on)), 1)
        from sales s join vehicles v on v.id = s.vehicle_id join inventory i on i.vehicle_id = v.id
        group by v.maker order by v.maker""",
}


def build_sample(path: Path) -> None:
    """Write the database to the new file ``path``; takes about 0.1 seconds."""
    chance = random.Random(20240501)  # noqa: S311 - content that is the same every time, not secrets
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("pragma journal_mode = off; pragma synchronous = off;" + _SCHEMA)
        with connection:
            connection.executemany("insert into vehicles values (?,?,?,?,?,?,?,?)", _vehicles(chance))
            connection.executemany("insert into users values (?,?,?,?,?,?)", _users(chance))
            connection.executemany("insert into inventory values (?,?,?,?)", _inventory(chance))
            connection.executemany("insert into sales values (?,?,?,?,?)", _sales(chance))
            connection.executemany("insert into orders values (?,?,?,?,?)", _orders(chance))
        connection.executescript(_INDEXES)


def _vehicles(chance: random.Random) -> Iterator[tuple[object, ...]]:
    for number in range(1, VEHICLES + 1):
        maker = chance.choice(tuple(_MODELS))
        year = chance.randint(2015, 2024)
        mileage = max(10, round(chance.gauss(14_000, 4_000)) * (2025 - year))
        price = chance.randrange(18_000, 72_000, 50)
        model, color = chance.choice(_MODELS[maker]), chance.choice(_COLORS)
        yield (
            number,
            f"KMH{year}{chance.randrange(16**4):04X}{number:06d}",
            maker,
            model,
            year,
            color,
            mileage,
            price,
        )


def _users(chance: random.Random) -> Iterator[tuple[object, ...]]:
    for number in range(1, _USERS + 1):
        name = f"{chance.choice(_GIVEN)} {chance.choice(_FAMILY)}"
        email = f"{name.lower().replace(' ', '.')}.{number}@example.com"
        yield number, name, email, chance.choice(_SITES), _day(chance, 0, 500), chance.choice((0, 1, 1, 1, 1))


def _inventory(chance: random.Random) -> Iterator[tuple[object, ...]]:
    for vehicle in range(1, VEHICLES + 1):
        bay = f"{chance.choice('ABCDEF')}{chance.randint(1, 80):02d}"
        yield vehicle, chance.choice(_SITES), bay, _day(chance, 0, 300)


def _sales(chance: random.Random) -> Iterator[tuple[object, ...]]:
    for number, vehicle in enumerate(chance.sample(range(1, VEHICLES + 1), _SALES), 1):
        amount = chance.randrange(15_000, 70_000, 10)
        yield number, vehicle, chance.randint(1, _USERS), _day(chance, 300, 700), amount


def _orders(chance: random.Random) -> Iterator[tuple[object, ...]]:
    for number in range(1, _ORDERS + 1):
        vehicle, user = chance.randint(1, VEHICLES), chance.randint(1, _USERS)
        yield number, vehicle, user, _day(chance, 300, 700), chance.choice(_ORDER_STATES)


def _day(chance: random.Random, first: int, last: int) -> str:
    return (_FIRST_DAY + timedelta(days=chance.randint(first, last))).isoformat()
