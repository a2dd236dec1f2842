package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
)

// dataEnv names the environment variable that takes the place of --data.
const dataEnv = "IBGIB_NODE_DATA"

// dataDir returns the data directory: flag, else the environment, else the
// place that the platform has for such data.
func dataDir(flag string) (string, error) {
	dir := flag
	if dir == "" {
		dir = os.Getenv(dataEnv)
	}
	if dir == "" {
		base, err := platformData(runtime.GOOS)
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, "ibgib-node")
	}
	return filepath.Abs(dir)
}

// platformData returns the folder for the data of a person's programs.
func platformData(goos string) (string, error) {
	home := func(folders ...string) (string, error) {
		h, err := os.UserHomeDir()
		if err != nil {
			return "", errors.New("no home directory: choose a data directory with --data")
		}
		return filepath.Join(append([]string{h}, folders...)...), nil
	}
	switch goos {
	case "windows":
		if dir := os.Getenv("LocalAppData"); dir != "" {
			return dir, nil
		}
		return home("AppData", "Local")
	case "darwin", "ios":
		return home("Library", "Application Support")
	}
	// The XDG rules have a relative path passed over.
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return dir, nil
	}
	return home(".local", "share")
}
