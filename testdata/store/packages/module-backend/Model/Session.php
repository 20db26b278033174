<?php

declare(strict_types=1);

namespace Magento\Backend\Model;

class Session
{
    private ?string $user = null;

    public function login(string $user): void
    {
        $this->user = $user;
    }

    public function isLoggedIn(): bool
    {
        return $this->user !== null;
    }
}
