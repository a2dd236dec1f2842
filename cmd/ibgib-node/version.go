package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/ibgib/ibgib-node/node/api"
	"github.com/ibgib/ibgib-node/protocol"
)

func versionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Long:  `Prints the version of this program, of Go, and of the protocols it speaks.`,
		Example: `  ibgib-node version
  ibgib-node version --json`,
		Args: noArgs(),
		RunE: func(cmd *cobra.Command, args []string) error { return c.version() },
	}
}

type versionResult struct {
	api.Version
	Platform string `json:"platform"`
}

func (c *cli) version() error {
	v := versionResult{programVersion(), runtime.GOOS + "/" + runtime.GOARCH}
	return c.print(v, func(w io.Writer) { fmt.Fprintln(w, versionLine()) })
}

func programVersion() api.Version {
	return api.Version{Version: version(), Go: runtime.Version(), API: "v1", Protocol: protocol.ID}
}

func versionLine() string {
	v := programVersion()
	return fmt.Sprintf("ibgib-node %s, sync %s, API %s, %s %s/%s", v.Version, v.Protocol, v.API, v.Go, runtime.GOOS, runtime.GOARCH)
}

// version returns the module version that the program was built from, with the
// revision where the build knows one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
	}
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if v == "devel" && len(revision) >= 12 {
		v += "-" + revision[:12] + dirty
	}
	return v
}
