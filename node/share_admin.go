package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
	"github.com/ibgib/ibgib-node/timeline"
)

// Share is a share as its owner sees it.
type Share struct {
	Name      string    `json:"name"`
	ID        string    `json:"id,omitempty"` // by which members know it; empty: the default share
	Direction Direction `json:"direction"`
	// Strategy is for its timelines that have diverged: the stricter of what was set for
	// the share and that of the node.
	Strategy saga.Strategy `json:"strategy"`
	// OwnStrategy is what was set for the share.
	OwnStrategy saga.Strategy `json:"ownStrategy"`
	Created     time.Time     `json:"created,omitzero"`
	// Members are those of a named share; of the default share that is every trusted peer.
	Members     []ShareMember `json:"members"`
	Entries     uint64        `json:"entries"`     // timelines and pinned constants
	Fingerprint string        `json:"fingerprint"` // hex, over their heads
	// Out counts what is out of the share for good; OutOfShare lists it.
	Out int `json:"out"`
}

// ShareMember is a member of a share.
type ShareMember struct {
	PeerID   string     `json:"peerId"`
	Keystone ibgib.Addr `json:"keystone,omitzero"` // first frame of the one that it is known by
}

// ShareList is all shares, and those that peers have offered: named, in vain.
type ShareList struct {
	Shares []Share      `json:"shares"`
	Offers []ShareOffer `json:"offers"`
}

// ShareOptions say what a new share is like.
type ShareOptions struct {
	Name string `json:"name"`
	// ID is that of the share of another node, to be a member of that one. Empty: a new
	// one.
	ID        string    `json:"id,omitempty"`
	Direction Direction `json:"direction,omitempty"` // empty: SendReceive
	// Strategy is for timelines that have diverged, where it is stricter than that of the
	// node.
	Strategy saga.Strategy `json:"strategy,omitzero"`
	// Members are peer ids of trusted peers.
	Members []string `json:"members,omitempty"`
}

// Shares returns the shares of the node, the default one first.
func (n *Node) Shares(ctx context.Context) (ShareList, error) {
	list := ShareList{Shares: []Share{}, Offers: n.shares.offerList()}
	for _, sh := range n.shares.all() {
		shown, err := n.showShare(ctx, sh)
		if err != nil {
			return list, fmt.Errorf("node: shares: %w", err)
		}
		list.Shares = append(list.Shares, shown)
	}
	return list, nil
}

func (n *Node) showShare(ctx context.Context, sh *share) (Share, error) {
	shown := Share{Name: sh.Name, ID: sh.ID, Direction: sh.Direction, Strategy: n.strategyOf(sh), OwnStrategy: sh.Strategy, Created: sh.Created, Members: []ShareMember{}}
	members := sh.Members
	if !sh.isNamed() {
		members = n.trust.list()
		slices.Sort(members)
	}
	for _, p := range members {
		shown.Members = append(shown.Members, ShareMember{p.String(), n.trust.keystone(p)})
	}
	fp, err := sh.view.Fingerprint(ctx)
	if err != nil {
		return shown, err
	}
	shown.Entries, shown.Fingerprint = fp.Count(), fmt.Sprintf("%x", fp.Sum())
	out, err := sh.view.ForgottenRoots(ctx)
	shown.Out = len(out)
	return shown, err
}

// CreateShare makes a share, or joins one that another node has made: then the options
// have its id. Nothing is in it here. It fails with ErrInput if there is one of that name
// or id, and for members that are not trusted.
func (n *Node) CreateShare(ctx context.Context, o ShareOptions) (Share, error) {
	sh, err := n.createShare(ctx, o)
	if err != nil {
		return Share{}, fmt.Errorf("node: create share: %w", err)
	}
	return n.showShare(ctx, sh)
}

func (n *Node) createShare(ctx context.Context, o ShareOptions) (*share, error) {
	r := shareRecord{Name: o.Name, ID: o.ID, Direction: o.Direction, Strategy: o.Strategy}
	if r.Direction == "" {
		r.Direction = SendReceive
	}
	if r.ID == "" {
		r.ID = newShareID()
	}
	if err := errors.Join(checkShareName(r.Name), checkShareID(r.ID), r.Direction.check()); err != nil {
		return nil, err
	}
	for _, id := range o.Members {
		p, err := n.memberOf(id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(r.Members, p) {
			r.Members = append(r.Members, p)
		}
	}
	sh, err := n.shares.create(ctx, r)
	if err != nil {
		return nil, err
	}
	n.log.Info("share created", "share", sh.Name, "id", sh.ID)
	return sh, n.lives.add(sh)
}

// memberOf reads the peer id of a peer that may be a member of a share.
func (n *Node) memberOf(id string) (peer.ID, error) {
	to, err := parsePeer(id)
	if err != nil {
		return "", err
	}
	if to.ID == n.id.id {
		return "", fmt.Errorf("%w: %s is this node itself", ErrInput, to.ID)
	}
	if _, ok := n.trust.trusts(to.ID); !ok {
		return "", fmt.Errorf("%w: %s is not trusted, and only who is can be a member: trust it first", ErrInput, to.ID)
	}
	return to.ID, nil
}

// ShareSettings are what can be changed of a named share.
type ShareSettings struct {
	Direction Direction      `json:"direction,omitempty"` // empty: as it is
	Strategy  *saga.Strategy `json:"strategy,omitempty"`  // nil: as it is; see ShareOptions
}

// SetShare changes settings of a named share. They hold for what comes from then on: what
// has been merged, or left to a person, stays so. Sagas about the share that run end when
// its direction changes.
func (n *Node) SetShare(ctx context.Context, name string, set ShareSettings) (Share, error) {
	turned := false
	sh, err := n.shares.update(name, func(r *shareRecord) error {
		if set == (ShareSettings{}) {
			return fmt.Errorf("%w: neither a direction nor a strategy to set", ErrInput)
		}
		if set.Strategy != nil {
			r.Strategy = *set.Strategy
		}
		if set.Direction == "" {
			return nil
		}
		turned = r.Direction != set.Direction
		r.Direction = set.Direction
		return r.Direction.check()
	})
	if err == nil && turned {
		err = n.sagas.cutShare(ctx, sh, "", errTurned)
	}
	if err != nil {
		return Share{}, fmt.Errorf("node: share %s: set: %w", shorten(name), err)
	}
	n.offerAll(ctx) // what it left alone may come
	n.liveOf(sh).opened()
	n.log.Info("share set", "share", sh.Name, "direction", sh.Direction, "strategy", sh.Strategy)
	return n.showShare(ctx, sh)
}

// AddMember lets a trusted peer be a member of a named share. Its owner has to add this
// node on the other side, under the same id.
func (n *Node) AddMember(ctx context.Context, name, id string) (Share, error) {
	p, err := n.memberOf(id)
	var sh *share
	if err == nil {
		sh, err = n.shares.update(name, func(r *shareRecord) error {
			switch {
			case slices.Contains(r.Members, p):
			case len(r.Members) >= maxMembers:
				return fmt.Errorf("%w: the share has %d members, which is as many as it may have", ErrInput, len(r.Members))
			default:
				r.Members = append(r.Members, p)
			}
			return nil
		})
	}
	if err != nil {
		return Share{}, fmt.Errorf("node: share %s: add a member: %w", shorten(name), err)
	}
	n.liveOf(sh).trusted(p, true)
	n.log.Info("member added to a share", "share", sh.Name, "peer", p)
	return n.showShare(ctx, sh)
}

// RemoveMember ends the membership of a peer, and the sagas with it that run. What it
// has of the share stays with it. It fails with blockstore.ErrNotFound if it is no member.
func (n *Node) RemoveMember(ctx context.Context, name, id string) (Share, error) {
	to, err := parsePeer(id)
	var sh *share
	if err == nil {
		sh, err = n.shares.update(name, func(r *shareRecord) error {
			i := slices.Index(r.Members, to.ID)
			if i < 0 {
				return absence(to.ID.String() + " is no member")
			}
			r.Members = slices.Delete(r.Members, i, i+1)
			return nil
		})
	}
	if err == nil {
		n.liveOf(sh).trusted(to.ID, false)
		err = n.sagas.cutShare(ctx, sh, to.ID, errNoMember)
	}
	if err != nil {
		return Share{}, fmt.Errorf("node: share %s: remove a member: %w", shorten(name), err)
	}
	n.log.Info("member removed from a share", "share", sh.Name, "peer", to.ID)
	return n.showShare(ctx, sh)
}

// DeleteShare deletes a named share here, with what is in no other share. What members
// have of it stays with them. It fails with blockstore.ErrBusy while GC is running.
func (n *Node) DeleteShare(ctx context.Context, name string) error {
	if err := n.deleteShare(ctx, name); err != nil {
		return fmt.Errorf("node: share %s: delete: %w", shorten(name), err)
	}
	return nil
}

func (n *Node) deleteShare(ctx context.Context, name string) error {
	n.shares.change.Lock()
	defer n.shares.change.Unlock()
	sh, err := n.shares.namedShare(name)
	if err != nil {
		return err
	}
	n.shares.remove(sh)
	n.lives.remove(sh)
	if err = n.sagas.cutShare(ctx, sh, "", errNoMember); err == nil {
		err = n.store.DeleteShare(sh.number)
	}
	if err != nil {
		n.shares.put(sh)
		return errors.Join(err, n.lives.add(sh))
	}
	n.log.Info("share deleted", "share", sh.Name)
	return n.changeWants(func() (bool, error) { return n.dropWants(ctx) })
}

// ShareChange is what became of a timeline that was put into a share or taken out of it.
type ShareChange struct {
	Share string     `json:"share"`
	Tjp   ibgib.Addr `json:"tjp"` // or the constant
	// Included are the timelines, and the constants of other shares, that came into the
	// share with it; at most 1,000.
	Included []ibgib.Addr `json:"included,omitempty"`
	// In names the shares that list it now; none: GC frees it.
	In []string `json:"in"`
}

// AddOptions say how a timeline is put into a share.
type AddOptions struct {
	// Include lets it bring the timelines that it links to. Else that is an
	// *OutsideError.
	Include bool
	// Move takes it out of the default share, so that only members hear of it from
	// then on.
	Move bool
}

// AddToShare puts a timeline, or a constant, into a share, which has it beside others
// that list it. addr is the tjp or any frame; all heads go, with all they link to. One
// that was taken out of the share need be nowhere here: then members bring it.
func (n *Node) AddToShare(ctx context.Context, name string, addr ibgib.Addr, o AddOptions) (ShareChange, error) {
	change, err := n.addToShare(ctx, name, addr, o)
	if err != nil {
		return change, fmt.Errorf("node: share %s: add %s: %w", shorten(name), addr, err)
	}
	return change, nil
}

func (n *Node) addToShare(ctx context.Context, name string, addr ibgib.Addr, o AddOptions) (ShareChange, error) {
	change := ShareChange{In: []string{}}
	sh, err := n.shares.byName(name)
	if err != nil {
		return change, err
	}
	change.Share = sh.Name
	if o.Move && !sh.isNamed() {
		return change, fmt.Errorf("%w: it cannot be moved out of the share that it is put into", ErrInput)
	}
	heads, tjp, err := n.headsSomewhere(ctx, addr)
	absent := errors.Is(err, blockstore.ErrNotFound)
	if err != nil && !absent {
		return change, err
	}
	change.Tjp = tjp
	gone, forgetErr := n.isForgotten(ctx, tjp)
	if forgetErr != nil {
		return change, forgetErr
	}
	if gone {
		return change, fmt.Errorf("%w: it is forgotten on this node; forget --undo ends that", ErrInput)
	}
	root, _ := tjp.Hash()
	if absent {
		if back, failed := n.putBack(ctx, sh, root); failed != nil || !back {
			return change, cmp.Or(failed, err)
		}
		change.In, err = n.namesOf(ctx, root)
		return change, err
	}
	p, err := n.pull(ctx, sh, heads, tjp)
	if err == nil {
		err = p.check(sh, o.Include)
	}
	if err != nil {
		return change, err
	}
	if _, err := n.putBack(ctx, sh, root); err != nil {
		return change, err
	}
	var pins []ibgib.Addr
	if heads[0] == tjp { // a stone, or a timeline of one frame, which Pin leaves alone
		pins = heads[:1]
	}
	if err := n.bring(ctx, sh, p.blocks, pins); err != nil {
		return change, err
	}
	if err := n.complete(ctx, sh, append([]ibgib.Addr{tjp}, p.outside...)); err != nil {
		return change, err
	}
	change.Included = p.all()
	if o.Move {
		if err := n.takeOut(ctx, n.shares.def, tjp, false); err != nil {
			return change, err
		}
	}
	change.In, err = n.namesOf(ctx, root)
	return change, err
}

// putBack ends that something was taken out of a share: what is still stored of it is
// there again, and who is connected brings the rest. It tells whether it was out.
func (n *Node) putBack(ctx context.Context, sh *share, root ibgib.Hash) (bool, error) {
	err := n.store.Remember(ctx, sh.number, root, false)
	if errors.Is(err, blockstore.ErrNotFound) {
		return false, nil
	}
	if err == nil {
		n.liveOf(sh).opened()
	}
	return err == nil, err
}

// headsSomewhere returns the heads of the timeline that addr is of, as the first share
// that lists it has them, and its tjp; or a constant, as its own.
func (n *Node) headsSomewhere(ctx context.Context, addr ibgib.Addr) ([]ibgib.Addr, ibgib.Addr, error) {
	tjp, err := n.rootOf(ctx, addr)
	if err != nil {
		return nil, addr, err
	}
	root, _ := tjp.Hash()
	in, e, err := n.shares.homeOf(ctx, root)
	if err != nil {
		return nil, tjp, err
	}
	if in != nil {
		return e.Heads, e.Root, nil
	}
	g, err := n.store.Get(ctx, addr)
	if err != nil {
		return nil, tjp, err
	}
	if _, frame := timeline.Claims(g); frame {
		return nil, tjp, absence("no share lists its timeline")
	}
	return []ibgib.Addr{addr}, addr, n.checkClosed(ctx, []ibgib.Addr{addr})
}

// namesOf names the shares that list a timeline.
func (n *Node) namesOf(ctx context.Context, root ibgib.Hash) ([]string, error) {
	names := []string{}
	in, err := n.shares.listing(ctx, root)
	for _, sh := range in {
		names = append(names, sh.Name)
	}
	return names, err
}

// RemoveFromShare takes a timeline, or a constant, out of a share here, and keeps it out:
// what members do with it does not come back. It stays in other shares that list it, and
// with the members. It fails with blockstore.ErrNotFound if the share does not list it.
func (n *Node) RemoveFromShare(ctx context.Context, name string, addr ibgib.Addr) (ShareChange, error) {
	change, err := n.removeFromShare(ctx, name, addr)
	if err != nil {
		return change, fmt.Errorf("node: share %s: remove %s: %w", shorten(name), addr, err)
	}
	return change, nil
}

func (n *Node) removeFromShare(ctx context.Context, name string, addr ibgib.Addr) (ShareChange, error) {
	change := ShareChange{In: []string{}}
	sh, err := n.shares.byName(name)
	if err != nil {
		return change, err
	}
	change.Share = sh.Name
	if change.Tjp, err = n.rootOf(ctx, addr); err != nil {
		return change, err
	}
	root, _ := change.Tjp.Hash()
	_, listed, err := sh.view.Entry(ctx, root)
	if err != nil {
		return change, err
	}
	if !listed {
		return change, absence("the share does not list it")
	}
	if err := n.takeOut(ctx, sh, change.Tjp, false); err != nil {
		return change, err
	}
	change.In, err = n.namesOf(ctx, root)
	return change, err
}

// ShareTimelines lists what a share has, by hash.
func (n *Node) ShareTimelines(ctx context.Context, name string) ([]Timeline, error) {
	sh, err := n.shares.byName(name)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	list := []Timeline{}
	for e, err := range sh.view.Entries(ctx) {
		if err != nil {
			return nil, fmt.Errorf("node: share %s: %w", sh.Name, err)
		}
		list = append(list, located{e, sh}.timeline())
	}
	return list, nil
}

// OutTimeline is a timeline, or a constant, that is out of a share for good: no member
// brings it back.
type OutTimeline struct {
	Tjp ibgib.Addr `json:"tjp"` // or the constant
	At  time.Time  `json:"at"`
	// Forgotten tells that Forget has taken it out of all shares, and Remember ends that.
	// Else it was taken out of this one, and AddToShare ends it.
	Forgotten bool `json:"forgotten"`
}

// OutOfShare lists what is out of a share for good, the latest first.
func (n *Node) OutOfShare(ctx context.Context, name string) ([]OutTimeline, error) {
	sh, err := n.shares.byName(name)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	out, err := sh.view.Forgotten(ctx)
	if err != nil {
		return nil, fmt.Errorf("node: share %s: %w", sh.Name, err)
	}
	list := make([]OutTimeline, len(out))
	for i, f := range out {
		list[i] = OutTimeline{Tjp: f.Root, At: f.At, Forgotten: f.Everywhere}
	}
	slices.SortStableFunc(list, func(a, b OutTimeline) int { return b.At.Compare(a.At) })
	return list, nil
}
