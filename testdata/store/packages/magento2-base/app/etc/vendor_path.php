<?php

return './vendor';
