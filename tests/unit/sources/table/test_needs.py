"""What the columns of a table say of the resources of a task."""

from __future__ import annotations

import pytest

from taskexec.domain.resources import Alternative, Needs, Route
from taskexec.plan import Plan, build_plan
from taskexec.sources.table.reader import read_csv


def plan_of(text: str) -> Plan:
    return build_plan(read_csv(text, "p.csv"))


def needs(column: str, cell: str) -> Needs:
    return plan_of(f'id;command;{column}\na;make;"{cell}"\n').tasks[0].needs


@pytest.mark.parametrize(
    ("column", "cell", "expected"),
    [
        ("disk", "10G", Needs(disk_mib=10_240)),
        ("Disk (GB)", "1,5", Needs(disk_mib=1_536)),
        ("MinTmpDisk", "500M", Needs(disk_mib=500)),
        ("has", "ssd | zone=a", Needs(has=("ssd", "zone=a"))),
        ("Has", "-", Needs()),
        ("not", "slow, old", Needs(has_not=("old", "slow"))),
        ("exclusive", "Yes", Needs(exclusive=True)),
        ("exclusive", "no", Needs()),
        ("nodes", "4", Needs(nodes=4)),
        ("packed", "no", Needs()),
        (
            "alternatives",
            "gpus=1 gpu_memory=24G; cpus=16 weight=0.5",
            Needs(
                alternatives=(
                    Alternative(1.0, Needs(gpus=1.0, gpu_memory_mib=24_576)),
                    Alternative(0.5, Needs(cpus=16.0)),
                )
            ),
        ),
        ("alternatives", "none", Needs()),
    ],
)
def test_column_is_read(column: str, cell: str, expected: Needs) -> None:
    assert needs(column, cell) == expected


def test_labels_of_several_columns_are_united() -> None:
    plan = plan_of("id,command,has,Required labels\na,make,x,y\n")

    assert plan.tasks[0].needs.has == ("x", "y")


def test_labels_of_people_stay_labels() -> None:
    task = plan_of("id,command,labels,tags\na,make,x,y\n").tasks[0]

    assert (task.labels, task.needs.has) == (("x", "y"), ())


def test_constraint_is_a_label_of_workers_only_beside_ids_of_slurm() -> None:
    planned = plan_of("id,command,Constraint\na,make,not before May\n").tasks[0]
    slurm = plan_of("JobID,command,Constraints\n1,make,ssd&a100\n").tasks[0]

    assert (planned.needs.has, planned.metadata) == ((), {"Constraint": "not before May"})
    assert slurm.needs.has == ("a100", "ssd")


def test_what_slurm_counts_over_all_nodes_is_parted_among_ranks() -> None:
    text = "JobID|command|AllocCPUS|ReqMem|AllocTRES|NNodes\n1|make|64|4Gc|cpu=64,gres/gpu=8,mem=256G|4\n"

    task = plan_of(text).tasks[0]

    assert task.needs == Needs(cpus=16.0, memory_mib=65_536, gpus=2.0, nodes=4)
    assert task.route is Route.DISTRIBUTED


def test_memory_that_slurm_gave_all_nodes_is_parted_among_ranks() -> None:
    task = plan_of("JobID|command|AllocTRES|NNodes\n1|make|cpu=8,mem=10G|4\n").tasks[0]

    assert task.needs == Needs(cpus=2.0, memory_mib=2_560, nodes=4)


def test_amounts_of_other_tables_are_those_of_each_rank() -> None:
    assert plan_of("id,command,cpus,nodes\na,make,8,4\n").tasks[0].needs == Needs(cpus=8.0, nodes=4)
