// Package claim keeps binary records (PDF, images; guide 8.6.7) in an object
// store and names them by references that an event can carry: location, SHA-256,
// size and media type.
//
// An object's name says whose it is and what it holds, <clientId>/<caseId>/<case
// created>/<SHA-256>.<extension>, and nothing that a person typed: a file name
// that the API gives is no part of it. So the same content of the same case is
// the same object however often it is put, and an object is never changed.
//
// Order and crash points. Put comes first, the event with the reference after it:
//
//	read, Put                 a crash here leaves nothing, or an object that no event
//	                          names: an orphan. The next attempt finds it and goes on.
//	commit of the event       a crash between Put and commit: the same orphan. After
//	                          the commit the object is named, and stays.
//	sweep                     Orphaned objects are deleted after a delay (IsOrphan,
//	                          Sweep). Put uploads an object again that has lain for half
//	                          of that delay, so that a sweep does not take what an
//	                          attempt is about to name.
//
// A store is a directory, S3 or what speaks it, or Azure Blob Storage. What is
// stored is read, listed and deleted by gocloud.dev/blob; S3 is written to by its
// own client, because gocloud.dev's writer holds an object of up to 16 MB, and
// more than that of a larger one, in memory once more.
package claim
