package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/node"
	"github.com/ibgib/ibgib-node/node/api"
)

// followedAtFirst is how many frames come first when a timeline is followed.
const followedAtFirst = 10

// feed prints lines as they come, with --json as JSON values.
type feed struct {
	c       *cli
	header  string
	started bool
}

// begin prints the header, once: whoever reads it knows that what happens from
// now on is shown.
func (f *feed) begin() error {
	if f.started || f.c.json {
		return nil
	}
	f.started = true
	_, err := f.c.out.Write([]byte(f.header + "\n"))
	return err
}

// line prints one line; text is what it is without --json.
func (f *feed) line(v any, text string) error {
	out := []byte(text + "\n")
	if f.c.json {
		var err error
		if out, err = toJSON(v); err != nil {
			return err
		}
	}
	_, err := f.c.out.Write(out)
	return err
}

// followLog prints the last frames of a timeline, and then each new one.
func (c *cli) followLog(ctx context.Context, addr ibgib.Addr, o logOptions) error {
	return c.withDaemon(ctx, func(client *api.Client) error {
		f := follower{client: client, feed: feed{c: c, header: frameLine("N", "TIME (UTC)", "KIND", "ADDRESS")}}
		for e, err := range client.Events(ctx, node.EventOptions{Kinds: []node.EventKind{node.EventHeads}}) {
			switch {
			case err != nil:
				return err
			case e.Kind == node.EventReady:
				// What changes from here on shows as an event.
				first := followedAtFirst
				if o.limited {
					first = o.limit
				}
				err = f.begin(ctx, addr, first)
			case e.Kind == node.EventMissed:
				err = f.again(ctx)
			case e.Kind == node.EventHeads && e.Heads.Tjp == f.tjp:
				err = f.moved(ctx, e.Heads.Heads)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// follower follows one timeline.
type follower struct {
	client *api.Client
	feed   feed
	tjp    ibgib.Addr
	heads  []ibgib.Addr // whose histories have been printed, or are older
}

// begin prints the last frames.
func (f *follower) begin(ctx context.Context, addr ibgib.Addr, count int) error {
	t, err := f.client.Latest(ctx, addr)
	if err != nil {
		return err
	}
	f.tjp, f.heads = t.Tjp, t.Heads
	if err := f.feed.begin(); err != nil || count == 0 {
		return err
	}
	var frames []node.Frame
	for frame, err := range f.client.Log(ctx, t.Latest, count) {
		if err != nil {
			return err
		}
		frames = append(frames, frame)
	}
	return f.print(frames)
}

// again looks at the timeline anew.
func (f *follower) again(ctx context.Context) error {
	t, err := f.client.Latest(ctx, f.tjp)
	if err != nil {
		return err
	}
	return f.moved(ctx, t.Heads)
}

// moved prints what the new heads have brought, oldest first.
func (f *follower) moved(ctx context.Context, heads []ibgib.Addr) error {
	known := f.heads
	for _, head := range heads {
		if slices.Contains(known, head) {
			continue
		}
		var frames []node.Frame
		for frame, err := range f.client.NewFrames(ctx, head, known) {
			if err != nil {
				return err
			}
			frames = append(frames, frame)
		}
		if err := f.print(frames); err != nil {
			return err
		}
		known = append([]ibgib.Addr{head}, known...)
	}
	f.heads = heads
	return nil
}

// print prints frames that are given newest first.
func (f *follower) print(frames []node.Frame) error {
	for _, frame := range slices.Backward(frames) {
		if err := f.feed.line(frame, frameLine(showN(frame.N), showTime(frame.Time), frame.Kind, show(frame.Addr))); err != nil {
			return err
		}
	}
	return nil
}

func frameLine(n, at, kind, addr string) string {
	return fmt.Sprintf("%5s  %-19s  %-5s  %s", n, at, kind, addr)
}

// followAll prints a line for each timeline that changes.
func (c *cli) followAll(ctx context.Context, since string) error {
	return c.withDaemon(ctx, func(client *api.Client) error {
		f := feed{c: c, header: changeLine("CHANGED (UTC)", "N", "FROM", "LATEST")}
		for e, err := range client.Events(ctx, node.EventOptions{Kinds: []node.EventKind{node.EventHeads, node.EventMerge}, Since: since}) {
			switch {
			case err != nil:
				return err
			case e.Kind == node.EventReady:
				err = f.begin()
			case e.Kind == node.EventMissed:
				err = f.line(e, missedRow(e))
			case e.Kind == node.EventHeads:
				err = f.line(e, changeRow(e))
			case e.Kind == node.EventMerge && (c.json || overriddenIn(e)+skippedIn(e) > 0):
				err = f.line(e, mergeRow(e))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func changeRow(e node.Event) string {
	n, from := showN(e.Heads.N), "here"
	if e.Heads.From != "" {
		from = printable(e.Heads.From)
	}
	latest := show(e.Heads.Latest)
	switch {
	case e.Heads.Stone:
		n = "stone"
	case e.Heads.Pinned:
		latest += fmt.Sprintf("  (pinned, of %d heads)", len(e.Heads.Heads))
	case e.Heads.Merged:
		latest += fmt.Sprintf("  (%d branches merged)", len(e.Heads.Heads))
	case len(e.Heads.Heads) > 1:
		latest += fmt.Sprintf("  (%d heads)", len(e.Heads.Heads))
	}
	return changeLine(showTime(e.Time), n, from, latest)
}

// missedRow says what does not come, and where it can be seen.
func missedRow(e node.Event) string {
	if e.Missed.Log {
		return "the list of changes has begun anew: ibgib-node heads  shows where all timelines are"
	}
	return count(e.Missed.Events, "merge") + " not kept any more: ibgib-node conflicts show ADDR  shows what the last merge of a timeline overrode"
}

func overriddenIn(e node.Event) int { return len(e.Merge.Overridden) + e.Merge.OverriddenMore }

func skippedIn(e node.Event) int { return len(e.Merge.Skipped) + e.Merge.SkippedMore }

// mergeRow says that a merge has overridden something.
func mergeRow(e node.Event) string {
	what := count(overriddenIn(e), "write") + " overridden"
	if n := skippedIn(e); n > 0 {
		what += ", " + count(n, "change") + " not applied"
	}
	return changeLine(showTime(e.Time), "merge", what+": conflicts show", show(e.Merge.Tjp))
}

func changeLine(at, n, from, latest string) string {
	return fmt.Sprintf("%-19s  %5s  %-52s  %s", at, n, from, latest)
}
