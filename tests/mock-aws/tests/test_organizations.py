"""Organizational units, tags, moves and pages."""

from .support import Case


class Organizations(Case):
    """The calls of ADD_PORTFOLIO and GET_PORTFOLIO."""

    def setUp(self):
        """Finds the root."""
        super().setUp()
        self.organizations = self.client("organizations")
        self.root = self.facts()["root"]

    def unit(self, name="P1", parent=None, **parameters):
        """Returns the id of a new unit."""
        made = self.organizations.create_organizational_unit(
            ParentId=parent or self.root, Name=name, **parameters
        )
        return made["OrganizationalUnit"]["Id"]

    def test_a_unit_is_made_described_and_listed_with_its_path(self):
        id = self.unit(Tags=[{"Key": "hoth-job", "Value": "j1"}])
        described = self.organizations.describe_organizational_unit(OrganizationalUnitId=id)
        described = described["OrganizationalUnit"]
        self.assertEqual(described["Name"], "P1")
        path = f"{self.facts()['organization']}/{self.root}/{id}/"
        self.assertEqual(described["Path"], path)
        listed = self.organizations.list_organizational_units_for_parent(ParentId=self.root)
        self.assertEqual(listed["OrganizationalUnits"], [described])
        parents = self.organizations.list_parents(ChildId=id)["Parents"]
        self.assertEqual(parents, [{"Id": self.root, "Type": "ROOT"}])
        children = self.organizations.list_children(
            ParentId=self.root, ChildType="ORGANIZATIONAL_UNIT"
        )["Children"]
        self.assertEqual(children, [{"Id": id, "Type": "ORGANIZATIONAL_UNIT"}])
        self.assertEqual(
            self.state()["units"],
            [{"id": id, "name": "P1", "parent": self.root, "tags": {"hoth-job": "j1"}}],
        )

    def test_a_second_unit_of_a_name_is_refused_below_one_parent_only(self):
        first = self.unit()
        answer = self.refused(
            "DuplicateOrganizationalUnitException",
            self.organizations.create_organizational_unit,
            ParentId=self.root,
            Name="P1",
        )
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.unit(parent=first)

    def test_a_unit_is_renamed_and_deleted(self):
        id, other = self.unit(), self.unit("P2")
        self.refused(
            "DuplicateOrganizationalUnitException",
            self.organizations.update_organizational_unit,
            OrganizationalUnitId=id,
            Name="P2",
        )
        self.organizations.update_organizational_unit(OrganizationalUnitId=id, Name="P3")
        self.unit(parent=id)
        self.refused(
            "OrganizationalUnitNotEmptyException",
            self.organizations.delete_organizational_unit,
            OrganizationalUnitId=id,
        )
        self.organizations.delete_organizational_unit(OrganizationalUnitId=other)
        self.assertEqual([unit["name"] for unit in self.state()["units"]], ["P3", "P1"])

    def test_five_levels_are_the_most(self):
        parent = None
        for _ in range(5):
            parent = self.unit(parent=parent)
        answer = self.refused(
            "ConstraintViolationException",
            self.organizations.create_organizational_unit,
            ParentId=parent,
            Name="P1",
        )
        self.assertEqual(answer["Reason"], "OU_DEPTH_LIMIT_EXCEEDED")

    def test_missing_units_are_refused(self):
        missing = f"ou-{self.root.removeprefix('r-')}-12345678"
        self.refused(
            "OrganizationalUnitNotFoundException",
            self.organizations.describe_organizational_unit,
            OrganizationalUnitId=missing,
        )
        self.refused(
            "ParentNotFoundException",
            self.organizations.create_organizational_unit,
            ParentId=missing,
            Name="P1",
        )
        self.refused(
            "ParentNotFoundException", self.organizations.list_accounts_for_parent, ParentId=missing
        )
        self.refused(
            "TargetNotFoundException", self.organizations.list_tags_for_resource, ResourceId=missing
        )
        self.refused("ChildNotFoundException", self.organizations.list_parents, ChildId=missing)

    def test_tags_are_replaced_by_key_and_removed(self):
        id = self.unit(Tags=[{"Key": "hoth:to:1", "Value": "old"}])
        tags = [{"Key": "hoth:to:1", "Value": "new"}, {"Key": "hoth:clin:1:0001", "Value": ""}]
        answer = self.organizations.tag_resource(ResourceId=id, Tags=tags)
        self.assertEqual(set(answer), {"ResponseMetadata"})
        self.assertEqual(self.organizations.list_tags_for_resource(ResourceId=id)["Tags"], tags)
        self.organizations.untag_resource(ResourceId=id, TagKeys=["hoth:to:1", "missing"])
        self.assertEqual(self.organizations.list_tags_for_resource(ResourceId=id)["Tags"], tags[1:])

    def test_the_rules_of_tags_hold(self):
        id = self.unit()

        def refused(type, reason, tags):
            answer = self.refused(type, self.organizations.tag_resource, ResourceId=id, Tags=tags)
            self.assertEqual(answer["Reason"], reason)

        input = "InvalidInputException"
        refused(input, "INVALID_PATTERN", [{"Key": "a", "Value": '{"json": 1}'}])
        refused(input, "MAX_LENGTH_EXCEEDED", [{"Key": "a" * 129, "Value": ""}])
        refused(input, "MAX_LENGTH_EXCEEDED", [{"Key": "a", "Value": "v" * 257}])
        refused(input, "DUPLICATE_TAG_KEY", [{"Key": "a", "Value": ""}, {"Key": "A", "Value": ""}])
        refused(input, "INVALID_SYSTEM_TAGS_PARAMETER", [{"Key": "aws:a", "Value": ""}])
        many = [{"Key": f"k{index}", "Value": "v"} for index in range(51)]
        refused("ConstraintViolationException", "MAX_TAG_LIMIT_EXCEEDED", many)
        self.organizations.tag_resource(ResourceId=id, Tags=many[:50])
        refused("ConstraintViolationException", "MAX_TAG_LIMIT_EXCEEDED", many[50:])

    def test_an_account_moves_from_its_parent_once(self):
        unit, account = self.unit(), self.account()
        move = {"AccountId": account, "SourceParentId": self.root, "DestinationParentId": unit}
        answer = self.organizations.move_account(**move)
        self.assertEqual(set(answer), {"ResponseMetadata"})
        parents = self.organizations.list_parents(ChildId=account)["Parents"]
        self.assertEqual(parents, [{"Id": unit, "Type": "ORGANIZATIONAL_UNIT"}])
        listed = self.organizations.list_accounts_for_parent(ParentId=unit)["Accounts"]
        self.assertEqual([listed["Id"] for listed in listed], [account])
        self.refused("DuplicateAccountException", self.organizations.move_account, **move)
        other = self.unit("P2")
        self.refused(
            "SourceParentNotFoundException",
            self.organizations.move_account,
            **{**move, "DestinationParentId": other},
        )
        missing = {**move, "AccountId": "999999999999"}
        self.refused("AccountNotFoundException", self.organizations.move_account, **missing)

    def test_pages_have_at_most_20_items(self):
        for index in range(23):
            self.unit(f"P{index:02}")
        first = self.organizations.list_organizational_units_for_parent(ParentId=self.root)
        self.assertEqual(len(first["OrganizationalUnits"]), 20)
        second = self.organizations.list_organizational_units_for_parent(
            ParentId=self.root, NextToken=first["NextToken"]
        )
        self.assertNotIn("NextToken", second)
        units = first["OrganizationalUnits"] + second["OrganizationalUnits"]
        self.assertEqual([unit["Name"] for unit in units], [f"P{i:02}" for i in range(23)])
        answer = self.refused(
            "InvalidInputException",
            self.organizations.list_organizational_units_for_parent,
            ParentId=self.root,
            MaxResults=21,
        )
        self.assertEqual(answer["Reason"], "MAX_VALUE_EXCEEDED")

    def test_a_token_fits_its_own_list_only(self):
        self.settings(page_size=1)
        self.unit("P1")
        unit = self.unit("P2")
        first = self.organizations.list_organizational_units_for_parent(ParentId=self.root)
        for parent, token in [(unit, first["NextToken"]), (self.root, "invented")]:
            answer = self.refused(
                "InvalidInputException",
                self.organizations.list_organizational_units_for_parent,
                ParentId=parent,
                NextToken=token,
            )
            self.assertEqual(answer["Reason"], "INVALID_NEXT_TOKEN")

    def test_a_first_page_can_be_empty(self):
        id = self.unit(Tags=[{"Key": "a", "Value": "b"}])
        self.settings(empty_pages=True)
        first = self.organizations.list_tags_for_resource(ResourceId=id)
        self.assertEqual(first["Tags"], [])
        second = self.organizations.list_tags_for_resource(
            ResourceId=id, NextToken=first["NextToken"]
        )
        self.assertEqual(second["Tags"], [{"Key": "a", "Value": "b"}])

    def test_parameters_are_held_to_the_model(self):
        create = self.organizations.create_organizational_unit

        def refused(reason, **parameters):
            answer = self.refused("InvalidInputException", create, **parameters)
            self.assertEqual(answer["Reason"], reason)

        refused("INPUT_REQUIRED", ParentId=self.root)
        refused("MIN_LENGTH_EXCEEDED", ParentId=self.root, Name="")
        refused("MAX_LENGTH_EXCEEDED", ParentId=self.root, Name="n" * 129)
        refused("INVALID_PATTERN", ParentId="root", Name="P1")
        refused("INPUT_REQUIRED", ParentId=self.root, Name="P1", Tags=[{"Key": "a"}])
        listed = self.organizations.list_children
        answer = self.refused(
            "InvalidInputException", listed, ParentId=self.root, ChildType="FOLDER"
        )
        self.assertEqual(answer["Reason"], "INVALID_ENUM")
        self.assertEqual(self.state()["units"], [])

    def test_ids_are_the_same_after_each_reset(self):
        first = self.unit()
        self.control("POST", "reset", {})
        self.assertEqual(self.unit(), first)
        other = self.control("POST", "reset", {"seed": 2})
        self.root = other["partitions"]["aws"]["root"]
        self.assertNotEqual(self.unit(), first)
