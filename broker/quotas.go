package broker

import (
	"barnabas/broker/env"
	"barnabas/broker/quota"
	"barnabas/broker/zookeeper"
)

// QuotaEntities reads the quotas of clients and addresses that are kept in ZooKeeper, waiting for a session while there is none.
func (b *Broker) QuotaEntities() (all map[quota.Entity]map[string]string, err error) {
	err = b.withStore(func(s *zookeeper.Store) error {
		all, err = quotasOf(s)
		return err
	})
	return all, err
}

func quotasOf(s *zookeeper.Store) (map[quota.Entity]map[string]string, error) {
	entries, err := s.Quotas()
	all := map[quota.Entity]map[string]string{}
	for _, e := range entries {
		all[quota.Entity{User: e.User, ClientID: e.ClientID, IP: e.IP}] = e.Configs
	}
	return all, err
}

// obeyQuotas takes all quotas of clients and addresses as they are kept now: they are few, and change seldom.
func (b *Broker) obeyQuotas(store *zookeeper.Store) error {
	all, err := quotasOf(store)
	if err != nil {
		return err
	}
	b.quotas.Replace(all)
	addresses, trouble := quota.NewAddresses(all)
	if trouble != nil {
		b.e.Emit(env.Event{Kind: evConfigTrouble, Text: trouble.Error()})
	}
	b.addresses.Store(addresses)
	return nil
}
