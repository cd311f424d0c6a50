"""EventBridge Scheduler: schedules of functions, and their groups."""

import datetime

import kit
from aws import REGION, arn, config, create, refused, session
from harness import absent, check, equal, eventually

scheduler = session.client("scheduler", config=config)
GONE = "ResourceNotFoundException"
CONFLICT = "ConflictException"
INVALID = "ValidationException"
PREFIX = f"arn:aws:scheduler:{REGION}:{kit.ACCOUNT}"


def wanted(function, expression, **more):
    """The arguments of create_schedule."""
    arguments = {
        "ScheduleExpression": expression,
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": arn(function), "RoleArn": kit.ROLE},
    }
    arguments.update(more)
    return arguments


def schedule_life():
    create("schedule-life")
    start = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone.utc)
    made = scheduler.create_schedule(
        Name="work",
        **wanted(
            "schedule-life",
            "cron(0 9 ? * MON-FRI *)",
            ScheduleExpressionTimezone="Europe/Berlin",
            StartDate=start,
            Description="each working day",
            FlexibleTimeWindow={"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
        ),
    )
    equal("CreateSchedule", made["ScheduleArn"], f"{PREFIX}:schedule/default/work")
    found = scheduler.get_schedule(Name="work")
    equal("Arn", found["Arn"], made["ScheduleArn"])
    equal("GroupName", found["GroupName"], "default")
    equal("StartDate", found["StartDate"], start)
    equal("ScheduleExpressionTimezone", found["ScheduleExpressionTimezone"], "Europe/Berlin")
    equal("State", found["State"], "ENABLED")
    equal("ActionAfterCompletion", found["ActionAfterCompletion"], "NONE")
    equal("Target.Arn", found["Target"]["Arn"], arn("schedule-life"))
    equal(
        "FlexibleTimeWindow",
        found["FlexibleTimeWindow"],
        {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15},
    )
    check("CreationDate", isinstance(found["CreationDate"], datetime.datetime))
    refused(
        "a second one",
        lambda: scheduler.create_schedule(Name="work", **wanted("schedule-life", "rate(1 day)")),
        409,
        CONFLICT,
        "Schedule work already exists.",
    )
    repeated = wanted("schedule-life", "rate(2 days)", ClientToken="again")
    first = scheduler.create_schedule(Name="token", **repeated)
    second = scheduler.create_schedule(Name="token", **repeated)
    equal("the same token", second["ScheduleArn"], first["ScheduleArn"])
    disabled = wanted("schedule-life", "rate(2 days)", State="DISABLED")
    scheduler.update_schedule(Name="work", **disabled)
    found = scheduler.get_schedule(Name="work")
    equal("Update", (found["ScheduleExpression"], found["State"]), ("rate(2 days)", "DISABLED"))
    absent("what is not said again is gone", found, "Description", "StartDate")
    pages = scheduler.get_paginator("list_schedules").paginate(PaginationConfig={"PageSize": 1})
    names = [item["Name"] for page in pages for item in page["Schedules"]]
    equal("ListSchedules", names, ["token", "work"])
    listed = scheduler.list_schedules(State="DISABLED", NamePrefix="wo")["Schedules"]
    equal("filters", [item["Name"] for item in listed], ["work"])
    for name in ("work", "token"):
        scheduler.delete_schedule(Name=name)
    refused(
        "gone",
        lambda: scheduler.get_schedule(Name="work"),
        404,
        GONE,
        "Schedule work does not exist.",
    )
    refused("gone twice", lambda: scheduler.delete_schedule(Name="work"), 404, GONE)


def schedule_runs():
    create("schedule-runs")
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    scheduler.create_schedule(
        Name="once",
        **wanted("schedule-runs", f"at({at:%Y-%m-%dT%H:%M:%S})", ActionAfterCompletion="DELETE"),
    )
    eventually(
        "it runs and deletes itself",
        lambda: not scheduler.list_schedules(NamePrefix="once")["Schedules"],
    )


def schedule_mistakes():
    create("schedule-mistakes")

    def ask(what, text=None, **more):
        refused(
            what,
            lambda: scheduler.create_schedule(
                Name="x", **{**wanted("schedule-mistakes", "rate(1 day)"), **more}
            ),
            400,
            INVALID,
            text,
        )

    ask("an expression", ScheduleExpression="cron(0 10 * * ?)")
    ask("a rate", ScheduleExpression="rate(1 minutes)")
    ask("a past time", ScheduleExpression="at(2020-01-01T00:00:00)")
    ask("a zone", ScheduleExpressionTimezone="Europe/Belin")
    ask("a function", Target={"Arn": arn("absent"), "RoleArn": kit.ROLE})
    queue = f"arn:aws:sqs:{REGION}:{kit.ACCOUNT}:q"
    ask("no function", Target={"Arn": queue, "RoleArn": kit.ROLE})
    ask("an input", Target={"Arn": arn("schedule-mistakes"), "RoleArn": kit.ROLE, "Input": "{"})
    ask("a window", FlexibleTimeWindow={"Mode": "FLEXIBLE"})
    refused("a token", lambda: scheduler.list_schedules(NextToken="forged"), 400, INVALID)
    refused(
        "a group",
        lambda: scheduler.create_schedule(
            Name="x", GroupName="absent", **wanted("schedule-mistakes", "rate(1 day)")
        ),
        404,
        GONE,
        "Schedule group absent does not exist.",
    )


def schedule_groups():
    create("schedule-group")
    made = scheduler.create_schedule_group(Name="team", Tags=[{"Key": "a", "Value": "b"}])
    group = made["ScheduleGroupArn"]
    equal("CreateScheduleGroup", group, f"{PREFIX}:schedule-group/team")
    refused("a second one", lambda: scheduler.create_schedule_group(Name="team"), 409, CONFLICT)
    equal("State", scheduler.get_schedule_group(Name="team")["State"], "ACTIVE")
    tags = scheduler.list_tags_for_resource(ResourceArn=group)["Tags"]
    equal("tags", tags, [{"Key": "a", "Value": "b"}])
    scheduler.tag_resource(ResourceArn=group, Tags=[{"Key": "c", "Value": "d"}])
    scheduler.untag_resource(ResourceArn=group, TagKeys=["a"])
    tags = scheduler.list_tags_for_resource(ResourceArn=group)["Tags"]
    equal("changed tags", tags, [{"Key": "c", "Value": "d"}])
    names = [one["Name"] for one in scheduler.list_schedule_groups()["ScheduleGroups"]]
    equal("ListScheduleGroups", names, ["default", "team"])
    inside = wanted("schedule-group", "rate(2 days)", GroupName="team")
    scheduler.create_schedule(Name="s", **inside)
    listed = scheduler.list_schedules(GroupName="team")["Schedules"]
    equal("its schedules", [item["GroupName"] for item in listed], ["team"])
    scheduler.delete_schedule_group(Name="team")
    refused("gone", lambda: scheduler.get_schedule_group(Name="team"), 404, GONE)
    equal("with its schedules", scheduler.list_schedules()["Schedules"], [])
    refused("the default", lambda: scheduler.delete_schedule_group(Name="default"), 400, INVALID)


SECTIONS = [
    schedule_life,
    schedule_runs,
    schedule_mistakes,
    schedule_groups,
]
