package policy

// Rules are all rules, in the order of the documents.
var Rules = []*Rule{
	// What the pods may do.
	&PodSecurityRestricted, &RootIsReadOnly, &UserIsFixed, &TokenWhereUsed, &ServiceLinksAreOff, &LauncherIsFirst,
	&ImageIsPinned, &ImagesAgree, &ResourcesAreSet, &MemoryLeavesRoom, &VariablesAreUnique,
	// Secrets and rights.
	&SecretsStayInSecrets, &PasswordsStayInMemory, &PasswordIsFollowed, &EverythingIsEncrypted, &RightsAreThoseCalled, &RightsEndAtTheNamespace, &RightsReachThePods, &AccountChangesOnlyLabels,
	// The way to Redis.
	&ServicesFindOneRole, &PortsExist, &PortsNameTheirProtocol, &MasterHasAnAddress, &NetworkLetsNeededLinksThrough,
	// Availability.
	&RoleIsLeftToTheLauncher, &LaunchersFindTheirPeers, &RecordsAreLeftToTheLauncher, &ProbesArePatient, &GraceExceedsBudget,
	&BackupsStayApart, &QuorumIsAMajority, &BudgetsAllowDrains, &BudgetsKeepTheQuorum, &RolloutsKeepAMajority, &PodsSpreadOverNodes,
	// Volumes.
	&MountsHaveVolumes, &DataIsNotShared, &VolumesAreKept, &SettingsAreFollowed,
	// Names, labels and versions.
	&NamesFit, &ReleasesAreApart, &NamespaceIsSet, &LabelsAreRecommended, &WorkloadsAreApart, &SelectorsAreStable,
	&VersionsRestartNothing, &RenderingsAreEqual, &HooksAreDeleted,
}
