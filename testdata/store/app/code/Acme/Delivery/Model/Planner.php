<?php

declare(strict_types=1);

namespace Acme\Delivery\Model;

use Magento\Checkout\Model\CartManagement;

class Planner
{
    public function __construct(private SlotFactory $slotFactory, private CartManagement\Proxy $carts)
    {
    }

    /** @return Slot[] */
    public function getSlots(int ...$hours): array
    {
        return array_map(fn(int $hour): Slot => $this->slotFactory->create(['hour' => $hour]), $hours);
    }

    public function isWorthIt(int $least): bool
    {
        return $this->carts->createEmptyCart()->getTotal() >= $least;
    }
}
