<?php

declare(strict_types=1);

namespace Magento\Checkout\Model;

class CartManagement
{
    public function __construct(private CartFactory $cartFactory)
    {
    }

    public function createEmptyCart(): Cart
    {
        return $this->cartFactory->create();
    }
}
