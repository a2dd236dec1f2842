// Package config reads the configuration file of a node, config.yaml in its data
// directory: what a person would otherwise say with flags of the command run at
// every start, and the limits.
//
// Read it with Load; a file that is missing is a Config of zero values, which all
// mean the default. What a file says is checked whole: an unknown setting, a
// value of the wrong kind or out of its bounds is an error that names the file,
// the line and what would be right. The package does not know what the settings
// do (package node), nor which flags override them (cmd/ibgib-node).
package config
