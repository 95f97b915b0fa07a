package schemas

// Headers of a trigger that was made from a dead letter, as text: where that
// letter stands. A redrive knows by them what has been redriven before.
const (
	HeaderRedriveTopic     = "postident.redrive.topic"
	HeaderRedrivePartition = "postident.redrive.partition"
	HeaderRedriveOffset    = "postident.redrive.offset"
)
