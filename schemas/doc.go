// Package schemas owns every byte on a topic and the compatibility rule.
package schemas
