"""The part of a store's contract that steers routing: an agent's models, versions of policies, and the trail of both."""

import threading
from typing import Any

import pytest
from store.samples import T0, T1, T2, Row, entry, provider

from analytics.errors import BadRows, UnknownName
from analytics.store import Actor, PolicyOwner, Store

ANNA = Actor("tenant_admin", id="anna", reason="cheaper nights")
ACME = PolicyOwner(tenant="acme")
RULES: dict[str, Any] = {"weights": {"quality": 0.7, "cost": 0.3}, "limits": {"max_tier": "low"}}


def _settings(rows: list[Row]) -> list[tuple[bool, int | None]]:
    return [(row["is_enabled"], row["priority_override"]) for row in rows]


def _told(store: Store, action: str) -> list[tuple[Any, Any]]:
    rows = [row for row in store.read("audit_log").rows if row["action"] == action]
    return [(row["old_value"], row["new_value"]) for row in rows]


def _at_once(*calls: Any) -> None:
    """All of them at once; a call that fails fails the test."""
    failed = list[BaseException]()

    def kept(call: Any) -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=kept, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed


class SteeringContract:
    """What holds for agents and policies in every store."""

    # -- an agent's models -------------------------------------------------------------------------------------

    def test_an_agents_models_change_all_or_none_and_each_change_is_audited(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small"), entry("large"), entry("huge")], T0)
        small, large, huge = "aurora/small", "aurora/large", "aurora/huge"

        first = [{"model": large, "is_enabled": True}, {"model": small, "is_enabled": True, "priority_override": 90}]
        rows = store.set_agent_models("writer", first, tenant="acme", actor=ANNA, at=T0)
        ids = {row["key"]: row["id"] for row in store.read_all("models")}
        (agent,) = store.read_all("agents")
        assert (agent["key"], agent["tenant_id"], agent["created_at"]) == ("writer", "acme", T0)
        assert [row["model_id"] for row in rows] == [ids[large], ids[small]], "in the order given"
        assert _settings(rows) == [(True, None), (True, 90)]
        assert {row["agent_id"] for row in rows} == {agent["id"]}
        assert {(row["tenant_id"], row["enabled_by"], row["enabled_at"]) for row in rows} == {("acme", "anna", T0)}

        again = store.set_agent_models("writer", first, tenant="acme", actor=Actor("service"), at=T1)
        assert again == rows, "what stays as it is has its old date, and nobody's name beside it"
        rows = store.set_agent_models(
            "writer",
            [{"model": small, "is_enabled": False}, {"model": huge, "priority_override": 7}],
            actor=ANNA,
            at=T1,
        )
        assert _settings(rows) == [(False, 90), (False, 7)], "a priority alone enables nothing"
        twice = [
            {"model": small, "priority_override": 3},
            {"model": small, "priority_override": None, "is_enabled": True},
        ]
        assert _settings(store.set_agent_models("writer", twice, actor=ANNA)) == [(True, None)], "the later word counts"

        for wrong in ({"model": "aurora/none", "is_enabled": True}, {"model": None, "is_enabled": True}):
            with pytest.raises((UnknownName, BadRows)):
                store.set_agent_models("writer", [{"model": large, "is_enabled": False}, wrong], actor=ANNA)
        assert sorted(_settings(store.read_all("agent_models")), key=str) == [(False, 7), (True, None), (True, None)]

        said: list[tuple[Any, Any, Any]] = [
            (large, None, (True, None)),
            (small, None, (True, 90)),
            (small, (True, 90), (False, 90)),
            (huge, None, (False, 7)),
            (small, (False, 90), (True, None)),
        ]
        names = ("is_enabled", "priority_override")
        expected = [
            tuple(
                value and {"agent": "writer", "model": model} | dict(zip(names, value, strict=True)) for value in values
            )
            for model, *values in said
        ]
        found = _told(store, "set_agent_models")
        assert sorted(found, key=str) == sorted(expected, key=str)
        for row in store.read("audit_log").rows:
            assert (row["tenant_id"], row["actor_id"], row["actor_role"]) == ("acme", "anna", "tenant_admin")
            assert (row["object_type"], row["reason"]) == ("agent_models", "cheaper nights")
        assert {row["object_id"] for row in store.read("audit_log").rows} == {
            row["id"] for row in store.read_all("agent_models")
        }

    @pytest.mark.parametrize(
        ("agent", "change", "said"),
        [
            ("writer", {"model": "aurora/none", "is_enabled": True}, "no model is called 'aurora/none'"),
            ("writer", {"model": "aurora/small"}, "nothing cannot be set; is_enabled and priority_override can"),
            ("writer", {"model": "aurora/small", "enabled": True}, "enabled cannot be set"),
            ("writer", {"model": "aurora/small", "is_enabled": None}, "is_enabled is true or false"),
            ("writer", {"model": "aurora/small", "priority_override": 101}, "101 does not lie on 0 to 100"),
            ("writer", {"model": "aurora/small", "priority_override": "high"}, "a whole number was expected"),
            (" ", {"model": "aurora/small", "is_enabled": True}, "a text that is not empty"),
        ],
    )
    def test_a_change_that_makes_no_sense_is_named(self, store: Store, agent: str, change: Row, said: str) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        with pytest.raises((BadRows, UnknownName)) as caught:
            store.set_agent_models(agent, [change], actor=ANNA)
        assert said in str(caught.value)
        assert store.read_all("agents") == store.read_all("agent_models") == store.read("audit_log").rows == []

    def test_a_tenant_changes_no_agent_but_its_own(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry("small")], T0)
        on = [{"model": "aurora/small", "is_enabled": True}]
        store.set_agent_models("writer", on, tenant="acme", actor=ANNA)
        store.set_agent_models("shared", on, actor=Actor("platform_admin"))
        for agent in ("writer", "shared"):
            with pytest.raises(UnknownName, match=f"the tenant 'other' has no agent '{agent}'") as caught:
                store.set_agent_models(
                    agent, [{"model": "aurora/small", "is_enabled": False}], tenant="other", actor=ANNA
                )
            assert "acme" not in str(caught.value)
        assert _settings(store.read_all("agent_models")) == [(True, None)] * 2

    def test_eight_who_change_an_agent_at_once_lose_nothing(self, store: Store) -> None:
        store.write("providers", [provider()])
        store.apply_catalog("aurora", [entry(f"m{number}") for number in range(8)], T0)

        def enable(number: int) -> None:
            changes = [
                {"model": f"aurora/m{number}", "is_enabled": True},
                {"model": "aurora/m0", "priority_override": number},
            ]
            store.set_agent_models("writer", changes, actor=Actor("service"))

        _at_once(*(lambda number=number: enable(number) for number in range(8)))
        rows = store.read_all("agent_models")
        assert len(rows) == 8
        assert all(row["is_enabled"] for row in rows)
        told = [pair for pair in _told(store, "set_agent_models") if pair[1]["model"] == "aurora/m0"]
        assert told[0][0] is None
        assert [before for before, _ in told[1:]] == [after for _, after in told[:-1]], "the trail has no gap"

    # -- policies ----------------------------------------------------------------------------------------------

    def test_a_change_of_a_policy_is_a_new_version_and_counts_once_it_is_activated(self, store: Store) -> None:
        first = store.add_policy("house", RULES, owner=ACME, description="for nights", actor=ANNA, at=T0)
        assert (first["version"], first["rules"], first["is_active"], first["activated_at"]) == (1, RULES, False, None)
        assert (first["tenant_id"], first["user_id"], first["agent_id"]) == ("acme", None, None)
        assert (first["environment"], first["created_by"], first["created_at"]) == ("production", "anna", T0)
        second = store.add_policy("house", {"sort": "price"}, owner=ACME, actor=ANNA, at=T0)
        other = store.add_policy("night", {}, owner=ACME, actor=ANNA, at=T0)
        assert (second["version"], other["version"]) == (2, 1)

        active = store.activate_policy("house", owner=ACME, actor=ANNA, at=T1)
        assert active == second | {"is_active": True, "activated_at": T1}, "the newest, unless a version is named"
        assert store.activate_policy("house", owner=ACME, actor=ANNA, at=T2) == active, "and again changes nothing"
        assert store.activate_policy("house", version=1, owner=ACME, actor=ANNA)["version"] == 1
        assert store.activate_policy("night", owner=ACME, actor=ANNA)["name"] == "night"
        assert [row["name"] for row in store.select("routing_configs", {"is_active": True}).items] == ["night"]
        night, house = {"name": "night", "version": 1}, {"name": "house"}
        assert _told(store, "activate_policy") == [
            (None, house | {"version": 2}), (house | {"version": 2}, house | {"version": 1}), (house | {"version": 1}, night)
        ]  # fmt: skip
        added = _told(store, "add_policy")
        assert [(before, after["name"], after["version"], after["rules"]) for before, after in added] == [
            (None, "house", 1, RULES), (None, "house", 2, {"sort": "price"}), (None, "night", 1, {})
        ]  # fmt: skip
        assert {row["tenant_id"] for row in store.read("audit_log").rows} == {"acme"}

    def test_each_owner_and_environment_has_its_own_active_policy(self, store: Store) -> None:
        owners = [
            PolicyOwner(), ACME, PolicyOwner(tenant="acme", user="u1"), PolicyOwner(tenant="acme", agent="u1"), PolicyOwner(agent="u1"),
            PolicyOwner(tenant="acme", environment="staging"),
        ]  # fmt: skip
        for owner in owners:
            assert store.add_policy("house", RULES, owner=owner, actor=ANNA)["version"] == 1
            store.activate_policy("house", owner=owner, actor=ANNA)
        assert len(store.select("routing_configs", {"is_active": True}).items) == len(owners)

    def test_a_policy_that_is_not_there_is_named_with_those_that_are(self, store: Store) -> None:
        store.add_policy("house", RULES, owner=ACME, actor=ANNA)
        with pytest.raises(UnknownName, match=r"no policy 'horse'; it has: house \(version 1\)"):
            store.activate_policy("horse", owner=ACME, actor=ANNA)
        with pytest.raises(UnknownName, match=r"no policy 'house' in version 2; it has: house \(version 1\)"):
            store.activate_policy("house", version=2, owner=ACME, actor=ANNA)
        with pytest.raises(UnknownName, match="it has: none yet"):
            store.activate_policy("house", owner=PolicyOwner(tenant="other"), actor=ANNA)
        for wrong in (PolicyOwner(tenant=""), PolicyOwner(user="u", agent="a"), PolicyOwner(environment=" ")):
            with pytest.raises(BadRows, match="policy"):
                store.add_policy("house", RULES, owner=wrong, actor=ANNA)
        for name, rules in ((" ", RULES), ("house", [1]), ("house", {"x": float("nan")})):
            with pytest.raises(BadRows, match=r"policy|name"):
                store.add_policy(name, rules, owner=ACME, actor=ANNA)  # type: ignore[arg-type]

    def test_eight_who_add_and_activate_at_once_leave_exactly_one_active(self, store: Store) -> None:
        def change(number: int) -> None:
            row = store.add_policy("house", {"fades_k": number}, owner=ACME, actor=ANNA)
            store.activate_policy("house", version=row["version"], owner=ACME, actor=ANNA)

        _at_once(*(lambda number=number: change(number) for number in range(8)))
        rows = store.read_all("routing_configs")
        assert sorted(row["version"] for row in rows) == list(range(1, 9))
        assert sum(row["is_active"] for row in rows) == 1
        told = _told(store, "activate_policy")
        assert len(told) == 8
        assert [before for before, _ in told] == [None, *(after for _, after in told[:-1])], "the trail has no gap"
