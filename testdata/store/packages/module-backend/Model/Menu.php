<?php

declare(strict_types=1);

namespace Magento\Backend\Model;

class Menu
{
    /** A proxy, because a session must not start before it is needed. */
    public function __construct(private Session\Proxy $session)
    {
    }

    /** @return string[] */
    public function getItems(): array
    {
        return $this->session->isLoggedIn() ? ['Sales', 'Catalog', 'Stores'] : [];
    }
}
