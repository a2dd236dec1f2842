package saga_test

import (
	"context"
	"fmt"
	"time"

	"github.com/ibgib/ibgib-node/blockstore"
	"github.com/ibgib/ibgib-node/ibgib"
	"github.com/ibgib/ibgib-node/saga"
)

// Two stores of one process are brought to the same heads.
func ExampleRun() {
	ctx := context.Background()
	one, err := blockstore.OpenMemory(blockstore.Options{})
	if err != nil {
		panic(err)
	}
	defer one.Close()
	two, err := blockstore.OpenMemory(blockstore.Options{})
	if err != nil {
		panic(err)
	}
	defer two.Close()

	made, err := ibgib.FirstGen(ibgib.FirstGenOptions{
		Ib:  "note",
		Tjp: ibgib.TjpOptions{Timestamp: true}, NCounter: true, Dna: true,
		Data: ibgib.Object(ibgib.Member{Name: "text", Value: ibgib.String("hello")}),
	}, ibgib.Env{Now: time.Now})
	if err != nil {
		panic(err)
	}
	if _, _, err := one.Apply(ctx, blockstore.DefaultShare, blockstore.Origin{}, made.All()); err != nil {
		panic(err)
	}

	// side is how a store takes part; intake is the adapter over its stages.
	side := func(role saga.Role, store *blockstore.Store, conn saga.Conn) saga.Config {
		view := store.View(blockstore.DefaultShare)
		return saga.Config{
			Role: role, Conn: conn, Blocks: view, Index: view,
			Intake: func(context.Context) (saga.Intake, error) {
				stage, err := store.NewStage(blockstore.DefaultShare, blockstore.Origin{Peer: "the other store"})
				return &intake{store, stage}, err
			},
		}
	}
	here, there := saga.Pipe(1 << 20)
	done := make(chan error)
	go func() {
		_, err := saga.Run(ctx, side(saga.Responder, two, there))
		done <- err
	}()
	c := side(saga.Initiator, one, here)
	c.ID = saga.ID{0x5a} // fresh random bytes
	result, err := saga.Run(ctx, c)
	if err != nil {
		panic(err)
	}
	if err := <-done; err != nil {
		panic(err)
	}
	_, err = two.Get(ctx, made.New.Addr())
	fmt.Println("converged:", result.Converged)
	fmt.Println("the note has come:", err == nil)
	// Output:
	// converged: true
	// the note has come: true
}
